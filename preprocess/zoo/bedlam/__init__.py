"""BEDLAM (version 1): rendered people who move, in 30 render jobs of short videos, 1280x720, depth in centimeters.

    RAW/<job>/
      png/seq_000000/seq_000000_0000.png             8-bit RGB, 30 a second
      depth/seq_000000/seq_000000_0000_depth.exr     "Depth": floats, planar centimeters; 1,000 m and more is the sky
      ground_truth/camera/seq_000000_camera.csv      name of an image, x y z, yaw pitch roll, focal_length, sensor_width, sensor_height

Jobs may lie at any depth, unpacked or in archives, or in several places that have a part each. A scene is <job>/<sequence>; all
are for training. Every fifth image is read (--every), because depth is published for those.

Angles and places are Unreal's: left-handed, x forward, y right, z up, centimeters; angles in degrees. The focal length is in
millimeters and changes from frame to frame.

Left out are jobs whose background has no depth (HDRI), close-ups, which are stored turned, and the sequences that the published
training skips. That training also skips two stadium jobs, whose names begin as an HDRI job's does; their depth is right, and they
are read here. The published preprocessing stops after the first sequence of a job; here all are read.
"""

from zipmap_pl.preprocess.zoo.bedlam.reader import INFO
from zipmap_pl.preprocess.zoo.bedlam.reader import Bedlam as READER

__all__ = ["INFO", "READER"]
