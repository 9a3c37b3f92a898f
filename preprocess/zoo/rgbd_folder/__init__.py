"""Bring your own RGB-D sequences: a folder per sequence, in 7-Scenes style or in TUM style.

    RAW/                                  RAW/
      frame-000000.color.jpg (or .png)      rgb.txt, depth.txt       lines `timestamp file`
      frame-000000.depth.png                groundtruth.txt          lines `timestamp tx ty tz qx qy qz qw`
      frame-000000.pose.txt                 rgb/, depth/
      camera-intrinsics.txt

RAW may also hold such folders, at any depth; each is a scene then. Other names, pose formats and axes: by options.
"""

from zipmap_pl.preprocess.zoo.rgbd_folder.reader import INFO
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder as READER

__all__ = ["INFO", "READER"]
