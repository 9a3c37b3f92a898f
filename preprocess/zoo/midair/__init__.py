"""Mid-Air: synthetic drone flights in several climates, 1024x1024, distance in meters. Only the left camera is read.

    RAW/<Kite|PLE|VO>_<training|test>/<climate>/
      sensor_records.hdf5                  or sensor_records.zip, as downloaded
        trajectory_<nnnn>/
          groundtruth/position, attitude   100 Hz, the vehicle: meters, and w x y z; north, east, down
          camera_data/color_left           25 Hz: names of the images; image k was taken at row 4k
      color_left/trajectory_<nnnn>/000000.JPEG   8-bit RGB
      depth/trajectory_<nnnn>/000000.PNG         16 bits of a half float: meters along the ray; 1,000 m and more is the sky

Images may lie in the trajectory's folder, in a folder `frames` in it, or in its frames.zip as downloaded, which is read in
place. A scene is a flight in one climate, <set>/<climate>/trajectory_<nnnn>. Test sets are the split `test`.

The published training takes the vehicle's position for the camera's, which is half a meter in front of it: relative poses
are wrong by decimeters in turns. Here the camera is where the authors say it is (--lever-arm none does as published), and
distances become planar depth at the pixels' centers.
"""

from zipmap_pl.preprocess.zoo.midair.reader import INFO
from zipmap_pl.preprocess.zoo.midair.reader import MidAir as READER

__all__ = ["INFO", "READER"]
