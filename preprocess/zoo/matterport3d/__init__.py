"""Matterport3D: 90 real houses in panoramas, each of 18 images of 1280x1024 with depth, metric.

    RAW/v1/scans/<house>/               four zips of these names, read in place; or unpacked, also as <house>/<house>
      <house>/undistorted_camera_parameters/<house>.conf
      <house>/undistorted_color_images/<uuid>_i0_3.jpg       camera 0 to 2 (up, level, down), yaw 0 to 5
      <house>/undistorted_depth_images/<uuid>_d0_3.png       16 bits, a quarter of a millimeter, planar; 0 = no reading
      <house>/image_overlap_data/<house>_iis.txt             which images see the same, by their places in the .conf

The .conf has a line for the intrinsics of the images that follow it, and one per image: depth file, color file, camera to world
(OpenGL axes). Its pixels count from the lower left corner: cy is turned round, which much published code forgets. That half
pixels are already in is what the official library does; no text says so.

A scene is a house, in the order of the .conf. All are for training, as published, unless --splits names the folder of the official
lists. Overlaps are those of the dataset; without their file they are computed.
"""

from zipmap_pl.preprocess.zoo.matterport3d.reader import INFO
from zipmap_pl.preprocess.zoo.matterport3d.reader import Matterport3d as READER

__all__ = ["INFO", "READER"]
