"""Cameras of all views as JSON, with the conventions written next to the numbers."""

import json
from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.points import PointCloud

CONVENTIONS = {
    "axes": "OpenCV: x right, y down, z forward",
    "world_to_cam": "3x4, row-major; the world is the camera of the first view",
    "intrinsics": "3x3, pixels of the original picture measured from its corner: the first pixel's centre is (0.5, 0.5)",
    "scale": "arbitrary",
}


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write cameras.json; null where a camera is not finite."""
    views = [
        {
            "name": name,
            "world_to_cam": _numbers(scene.world_to_cam[i]),
            "intrinsics": _numbers(scene.source_intrinsics[i]),
            "size": {"height": int(scene.source_sizes[i, 0]), "width": int(scene.source_sizes[i, 1])},
            "intrinsics_at_model_size": _numbers(scene.intrinsics[i]),
            "model_size": {"height": scene.depth.shape[1], "width": scene.depth.shape[2]},
        }
        for i, name in enumerate(scene.names)
    ]
    path = folder / "cameras.json"
    path.write_text(json.dumps({"conventions": CONVENTIONS, "views": views}, indent=1, allow_nan=False) + "\n")
    return {"cameras": path}


def _numbers(array: np.ndarray) -> list | None:
    return array.tolist() if np.isfinite(array).all() else None
