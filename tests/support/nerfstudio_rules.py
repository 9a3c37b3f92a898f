"""transforms.json read as Nerfstudio's documentation says; Nerfstudio itself is not installed."""

import json
from pathlib import Path

import numpy as np
import pytest


def by_nerfstudios_rules(file: Path) -> list[tuple[Path, np.ndarray, np.ndarray, tuple[int, int]]]:
    """Photo, camera-to-world, intrinsics and height, width of every frame, from its documentation of data conventions."""
    text = json.loads(file.read_text())
    assert text["camera_model"] in ("OPENCV", "PINHOLE")
    frames = []
    for frame in text["frames"]:
        values = {key: frame.get(key, text.get(key)) for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
        k = np.array([[values["fl_x"], 0, values["cx"]], [0, values["fl_y"], values["cy"]], [0, 0, 1]])
        pose = np.array(frame["transform_matrix"])
        assert np.allclose(pose[3], [0, 0, 0, 1])
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
        frames.append((file.parent / frame["file_path"], pose, k, (values["h"], values["w"])))
    return frames
