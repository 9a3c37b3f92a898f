"""DL3DV-10K: videos of real places with COLMAP's cameras; no depth of its own, and no metric unit.

    RAW/<subset>/<hash>/              subset 1K to 11K; or <subset>/<hash>.zip as downloaded, which is read in place
      transforms.json                 lens (of the full size) and poses, camera to world, OpenGL axes
      images_4/frame_00001.png        of any resolution: images, images_2, images_4 or images_8; the largest is taken
      depth/frame_00001.npy           if you have depth of these pictures, see below
    RAW/<subset>/<hash>/dense/        the processed release of CUT3R's authors, rectified: unpacked, no zips
      rgb/frame_00001.png
      cam/frame_00001.npz             `intrinsic` [3, 3]; `pose` [4, 4], camera to world, OpenCV axes
      depth/frame_00001.npy
    RAW/<subset>/<hash>/              a dense workspace of COLMAP's (image_undistorter, patch_match_stereo), or in dense/
      images/frame_00001.png
      sparse/cameras.bin, images.bin  or .txt
      stereo/depth_maps/frame_00001.png.geometric.bin

Such folders may lie at any depth; the benchmark's <hash>/nerfstudio/ is read too. A scene is <subset>/<hash>. Where
several kinds are there, one with depth is taken, of those the dense release first, then the workspace. Frames are those
with a pose; how many pictures have none is told once per scene.

Depth is merged where there is any: below --depth DIR, in folders of the same names, or next to the pictures. Floats
[H, W], as large as the pictures, planar, in the unit of that scene's cameras; what is not positive and finite is
unknown. Next to depth/ there may be sky_mask/frame_00001.png (from 127 on it is the sky) and outlier_mask/ (from 110 on
the depth is not believed). A scene without depth keeps its pictures and cameras, but the published losses pass it over;
a frame whose depth is missing while its scene has depth is unusable. Depth of the dense release fits the dense pictures
only.
"""

from zipmap_pl.preprocess.zoo.dl3dv.reader import DL3DV as READER
from zipmap_pl.preprocess.zoo.dl3dv.reader import INFO

__all__ = ["INFO", "READER"]
