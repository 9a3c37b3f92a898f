"""The point cloud and the cameras as binary glTF.

glTF keeps colors linear, not as sRGB. As bytes dark ones would be lost, so they are floating-point numbers here; trimesh writes
bytes only.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.geometry.gravity import turn_between
from zipmap_pl.inference.points import PointCloud

FRUSTUM = 0.04  # length of a camera's frustum, as a share of the extent of the points
FRUSTUM_COLOR = [0.05, 0.2, 0.6, 1.0]
POINTS, LINES = 0, 1  # glTF's modes
FLOAT = 5126  # and its number for float32


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write points.glb: colored points and the frusta of the cameras, turned so that viewers show them upright."""
    file = _Glb()
    points = file.mesh(POINTS, 0, {"POSITION": cloud.points.astype("<f4"), "COLOR_0": linear_colors(cloud.colors)})
    nodes: list[dict[str, Any]] = [{"name": "points", "mesh": points}]
    low, high = np.percentile(cloud.points, [5, 95], axis=0)
    length = FRUSTUM * float(np.linalg.norm(high - low)) or 0.1
    for number in np.flatnonzero(scene.usable):
        lines = _frustum(scene.intrinsics[number], scene.depth.shape[1:], length).astype("<f4")
        matrix = scene.cam_to_world[number].T.ravel().tolist()
        nodes.append(
            {"name": f"camera-{number:04d}", "mesh": file.mesh(LINES, 1, {"POSITION": lines}), "matrix": matrix}
        )
    path = folder / "points.glb"
    file.write(path, nodes, glb_from_world(scene))
    return {"points (glb)": path}


def glb_from_world(scene: Scene) -> np.ndarray:
    """Rotation [3, 3] from the scene's world to glTF's axes, which has y up and is looked at along -z."""
    return np.diag([1.0, -1.0, -1.0]) @ turn_between(scene.down, np.array([0.0, 1.0, 0.0]))


def linear_colors(colors: np.ndarray) -> np.ndarray:
    """Linear colors [N, 3] float32 from 0 to 1 of colors [N, 3] uint8 in sRGB."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear.astype("<f4")[colors]


def _frustum(intrinsics: np.ndarray, size: tuple[int, ...], length: float) -> np.ndarray:
    """[16, 3] ends of lines in a camera's frame: from its center to the corners of its image at distance `length`, and around."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    rays = np.c_[(corners - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]], np.ones(4)] * length
    spokes = [end for ray in rays for end in (np.zeros(3), ray)]
    return np.array(spokes + [end for i in range(4) for end in (rays[i], rays[(i + 1) % 4])])


class _Glb:
    """A file that grows mesh by mesh."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.meshes: list[dict[str, Any]] = []

    def mesh(self, mode: int, material: int, attributes: dict[str, np.ndarray]) -> int:
        """Add a mesh; returns its number. attributes: name -> [n, 3] float32."""
        numbers = {name: self._accessor(values) for name, values in attributes.items()}
        self.meshes.append({"primitives": [{"mode": mode, "material": material, "attributes": numbers}]})
        return len(self.meshes) - 1

    def _accessor(self, values: np.ndarray) -> int:
        start = sum(view["byteLength"] for view in self.views)
        self.data.append(values.tobytes())
        self.views.append({"buffer": 0, "byteOffset": start, "byteLength": values.nbytes})
        limits = {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        entry = {
            "bufferView": len(self.views) - 1,
            "componentType": FLOAT,
            "type": "VEC3",
            "count": len(values),
        } | limits
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def write(self, path: Path, nodes: list[dict[str, Any]], turn: np.ndarray) -> None:
        """Write the file: `nodes` below one that turns them all."""
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        root = {"name": "world", "matrix": matrix.T.ravel().tolist(), "children": list(range(1, len(nodes) + 1))}
        data = b"".join(self.data)
        unlit: dict[str, Any] = {"extensions": {"KHR_materials_unlit": {}}}
        text = {
            "asset": {"version": "2.0", "generator": "zipmap_pl"},
            "extensionsUsed": ["KHR_materials_unlit"],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [root, *nodes],
            "meshes": self.meshes,
            "materials": [unlit, unlit | {"pbrMetallicRoughness": {"baseColorFactor": FRUSTUM_COLOR}}],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(data)}],
        }
        header = json.dumps(text, allow_nan=False).encode()
        header += b" " * (-len(header) % 4)
        with path.open("wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(header) + 8 + len(data)))
            file.write(struct.pack("<I4s", len(header), b"JSON") + header)
            file.write(struct.pack("<I4s", len(data), b"BIN\0") + data)
