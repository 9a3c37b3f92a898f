"""The point cloud as PLY."""

from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.points import PointCloud

HEADER = """\
ply
format binary_little_endian 1.0
comment {}
element vertex {}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write points.ply: colored points, binary little-endian, in OpenCV axes."""
    path = folder / "points.ply"
    write_ply(path, cloud.points, cloud.colors, "OpenCV axes: x right, y down, z forward")
    return {"points (ply)": path}


def write_ply(path: Path, points: np.ndarray, colors: np.ndarray, comment: str) -> None:
    """Write points [N, 3] with colors [N, 3] uint8 as binary PLY."""
    rows = np.empty(len(points), dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = points, colors
    with path.open("wb") as file:
        file.write(HEADER.format(comment, len(rows)).encode("ascii"))
        file.write(rows.tobytes())  # `tofile` has no reason for what it cannot write
