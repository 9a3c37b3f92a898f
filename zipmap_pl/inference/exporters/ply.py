"""The point cloud as PLY."""

from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.points import PointCloud

HEADER = """\
ply
format binary_little_endian 1.0
comment OpenCV axes: x right, y down, z forward
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
    rows = np.empty(len(cloud.points), dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = cloud.points, cloud.colors
    path = folder / "points.ply"
    with path.open("wb") as file:
        file.write(HEADER.format(len(rows)).encode("ascii"))
        rows.tofile(file)
    return {"points (ply)": path}
