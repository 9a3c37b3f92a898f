"""Hypersim: rendered rooms with true cameras, 1024x768. Pictures are HDR, depth is the distance to the camera in metres.

    RAW/
      metadata_camera_parameters.csv              from apple/ml-hypersim, contrib/mikeroberts3000; no zip has it
      metadata_images_split_scene_v1.csv          from apple/ml-hypersim, for --official-splits only
      ai_<nnn>_<nnn>/
        _detail/metadata_scene.csv                metres per asset unit (if it is missing, the first csv tells)
        _detail/cam_<nn>/camera_keyframe_orientations.hdf5      [N, 3, 3] camera to world, x right, y up, z back
        _detail/cam_<nn>/camera_keyframe_positions.hdf5         [N, 3] in asset units
        images/scene_cam_<nn>_final_hdf5/frame.0000.color.hdf5                linear RGB, half floats
        images/scene_cam_<nn>_geometry_hdf5/frame.0000.depth_meters.hdf5      half floats
        images/scene_cam_<nn>_geometry_hdf5/frame.0000.render_entity_id.hdf5  integers, -1 = no surface

Such folders may lie at any depth, or in the zips as downloaded, which are read in place. A scene is a trajectory; its name
is ai_<nnn>_<nnn>/cam_<nn>. Pictures are tone-mapped as the dataset's authors do it, each by its own brightness. More than
half of the scenes have a tilted or shifted picture plane: where it matters, picture and depth are resampled to a camera
that looks at the middle of what is seen.
"""

from zipmap_pl.preprocess.zoo.hypersim.reader import INFO
from zipmap_pl.preprocess.zoo.hypersim.reader import Hypersim as READER

__all__ = ["INFO", "READER"]
