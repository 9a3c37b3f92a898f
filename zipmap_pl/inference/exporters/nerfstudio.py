"""Nerfstudio's transforms.json, and the points to start splats from.

By its documentation of data conventions: camera-to-world in OpenGL's axes (x right, y up, z back), z of the world up, intrinsics in
pixels of the photos, here one set for each frame.
"""

import json
import os
from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Camera, Scene
from zipmap_pl.geometry.gravity import turn_between
from zipmap_pl.inference.exporters.ply import write_ply
from zipmap_pl.inference.points import PointCloud

Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # from a world with y down
GL_FROM_CV = np.diag([1.0, -1, -1, 1])


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write nerfstudio/transforms.json and nerfstudio/sparse_pc.ply, in a world that is turned so that z is up.

    `file_path` leads from there to the user's photos; for frames of a video it is the frame's name. The photos have to be
    stored upright: Nerfstudio does not look at their EXIF orientation. Views without a finite camera are left out.
    """
    below = folder / "nerfstudio"
    below.mkdir(exist_ok=True)
    turn = np.eye(4)
    turn[:3, :3] = Z_UP @ turn_between(scene.down, np.array([0.0, 1.0, 0.0]))
    cameras = scene.cameras
    text = {
        "camera_model": "OPENCV",
        "applied_transform": turn[:3].tolist(),
        "ply_file_path": "sparse_pc.ply",
        "frames": [
            _frame(
                cameras[view], turn @ scene.cam_to_world[view] @ GL_FROM_CV, _path(cameras[view], below, scene.folder)
            )
            for view in np.flatnonzero(scene.usable)
        ],
    }
    (below / "transforms.json").write_text(json.dumps(text, indent=1, allow_nan=False) + "\n")
    write_ply(
        below / "sparse_pc.ply", cloud.points @ turn[:3, :3].T, cloud.colors, "z up, the world of transforms.json"
    )
    return {"nerfstudio": below}


def _frame(camera: Camera, cam_to_world: np.ndarray, path: str) -> dict:
    k = camera.intrinsics
    return {
        "file_path": path,
        "fl_x": float(k[0, 0]),
        "fl_y": float(k[1, 1]),
        "cx": float(k[0, 2]),
        "cy": float(k[1, 2]),
        "w": camera.size[1],
        "h": camera.size[0],
        "transform_matrix": cam_to_world.tolist(),
    }


def _path(camera: Camera, below: Path, photos: Path | None) -> str:
    """From `below` to a photo. `below` will be renamed, but stays as deep below the same folder."""
    return (
        camera.name
        if photos is None
        else Path(os.path.relpath(photos.resolve() / camera.name, below.resolve())).as_posix()
    )
