"""The path of the camera as the TUM RGB-D benchmark writes it, which evo and others read."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.points import PointCloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write trajectory.txt: a line `number tx ty tz qx qy qz qw` of camera-to-world for every view with a finite camera.

    The number of the view, from 0, stands in the place of the time.
    """
    path = folder / "trajectory.txt"
    views, poses = np.flatnonzero(scene.usable), scene.cam_to_world[scene.usable]
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat(canonical=True)
    rows = np.c_[views, poses[:, :3, 3], quaternions].tolist()
    lines = ["# number of the view, tx ty tz qx qy qz qw of camera to world, OpenCV axes"]
    path.write_text("\n".join([*lines, *(" ".join(map(repr, row)) for row in rows)]) + "\n")
    return {"trajectory": path}
