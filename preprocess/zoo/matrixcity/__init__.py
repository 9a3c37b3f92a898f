"""MatrixCity: two rendered cities, from the air (1920x1080) and from the street (1000x1000), depth in centimeters.

    RAW/<small_city|big_city>/<aerial|street>/<train|test>/
      <block>/transforms.json              camera_angle_x; frames: frame_index, rot_mat (camera to world, OpenGL axes, meters)
      <block>/<block>/0000.png             8-bit RGB; or <block>/0000.png, or <block>.tar as downloaded, or 0.png
    RAW/<city>_depth_float32/<aerial|street>/<train|test>/
      <block>_depth/<block>_depth/0000.exr or <block>_depth/0000.exr, or <block>_depth.tar
    RAW/<city>_depth/...                   the same in half floats: 65504 = unknown, or farther than 655 m

Rotations are divided by 100. Tars are read in place, those in parts (.tar00, .tar01, ...) too. A scene is a block,
<city>/<view>/<split>/<block>; its frames are those of transforms.json, by number. Depth in floats is preferred to half floats,
which lose what is far from the air.

The published training trains on the test blocks, too; here they are the split `test`. The blocks of train_dense, which it does
not use, are not listed.
"""

from zipmap_pl.preprocess.zoo.matrixcity.reader import INFO
from zipmap_pl.preprocess.zoo.matrixcity.reader import MatrixCity as READER

__all__ = ["INFO", "READER"]
