"""Camera axes of raw poses, and the way to OpenCV's: x right, y down, z forward. The world's axes stay what they are."""

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras

# Columns: where OpenCV's x, y, z point in the raw camera's axes, so that cam_to_world_opencv = cam_to_world_raw @ AXES.
AXES = {
    "opencv": np.eye(3),
    "opengl": np.diag((1.0, -1.0, -1.0)),  # x right, y up, z back; Blender's and Nerfstudio's too
    "ned": np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))),  # x forward, y right, z down
}


def to_opencv(cam_to_world: np.ndarray, axes: str) -> np.ndarray:
    """The cam_to_world [4, 4] of a camera with the axes `axes`, with OpenCV's axes. What is not finite stays so."""
    turned = np.array(cam_to_world, np.float64)
    with np.errstate(invalid="ignore"):
        turned[:3, :3] = cameras.multiply(turned[:3, :3], AXES[axes])
    return turned
