"""Cameras of all views as JSON, with the conventions written next to the numbers."""

import json
from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import FIRST_CAMERA, Scene
from zipmap_pl.inference.points import PointCloud

CONVENTIONS = {
    "axes": "OpenCV: x right, y down, z forward",
    "world_to_cam": "3x4, row-major",
    "intrinsics": "3x3, pixels of the original photo, turned upright as its EXIF orientation says, measured from its corner: "
    "the first pixel's center is (0.5, 0.5)",
    "size": "of that photo",
    "photo_from_model": "the center of pixel (row i, column j) of depth and confidence lies at x = scale_x * (j + 0.5) + left, "
    "y = scale_y * (i + 0.5) + top of that photo",
    "kept": "share of the photo's area that the model has seen; the crop is what the model has not cut off",
    "down": "direction of gravity in the world, estimated from the cameras unless that is turned off",
}


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write cameras.json; null where a camera is not finite."""
    views = [_view(scene, number) for number in range(len(scene.names))]
    path = folder / "cameras.json"
    scale = "arbitrary" if scene.world == FIRST_CAMERA else "that of the world"
    text = {
        "conventions": CONVENTIONS | {"world": scene.world, "scale": scale},
        "down": scene.down.tolist(),
        "views": views,
    }
    path.write_text(json.dumps(text, indent=1, allow_nan=False) + "\n")
    return {"cameras": path}


def _view(scene: Scene, number: int) -> dict:
    height, width = scene.depth.shape[1:]
    scale_x, scale_y, left, top = scene.source_from_model[number].tolist()
    return {
        "name": scene.names[number],
        "world_to_cam": _numbers(scene.world_to_cam[number]),
        "intrinsics": _numbers(scene.source_intrinsics[number]),
        "size": {"height": int(scene.source_sizes[number, 0]), "width": int(scene.source_sizes[number, 1])},
        "crop": {"left": left, "top": top, "width": scale_x * width, "height": scale_y * height},
        "kept": float(scene.kept[number]),
        "photo_from_model": {"scale_x": scale_x, "scale_y": scale_y, "left": left, "top": top},
        "intrinsics_at_model_size": _numbers(scene.intrinsics[number]),
        "model_size": {"height": height, "width": width},
    }


def _numbers(array: np.ndarray) -> list | None:
    return array.tolist() if np.isfinite(array).all() else None
