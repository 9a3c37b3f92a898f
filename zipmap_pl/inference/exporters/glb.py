"""The point cloud and the cameras as binary glTF."""

from pathlib import Path

import numpy as np
import trimesh

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.points import PointCloud

# GLB viewers expect y up and look along -z: turn OpenCV axes by half a turn about x.
GLB_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
FRUSTUM = 0.04  # length of a camera's frustum, as a share of the extent of the points


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write points.glb: colored points and the frusta of the cameras, turned so that viewers show them upright."""
    points, colors = cloud
    low, high = np.percentile(points, [5, 95], axis=0)
    world = trimesh.Scene()
    world.add_geometry(
        trimesh.PointCloud(points, colors=np.c_[colors, np.full(len(colors), 255, np.uint8)]), node_name="points"
    )
    length = FRUSTUM * float(np.linalg.norm(high - low)) or 0.1
    for number in np.flatnonzero(scene.usable):
        frustum = _frustum(scene.intrinsics[number], scene.depth.shape[1:], length)
        world.add_geometry(frustum, node_name=f"camera-{number:04d}", transform=scene.cam_to_world[number])
    world.apply_transform(GLB_FROM_OPENCV)
    path = folder / "points.glb"
    path.write_bytes(world.export(file_type="glb"))
    return {"points (glb)": path}


def _frustum(intrinsics: np.ndarray, size: tuple[int, ...], length: float) -> trimesh.path.Path3D:
    """Lines from the center of a camera to the corners of its image at distance `length`."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    rays = np.c_[(corners - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]], np.ones(4)] * length
    center = np.zeros(3)
    segments = [[center, ray] for ray in rays] + [[rays[i], rays[(i + 1) % 4]] for i in range(4)]
    return trimesh.load_path(np.array(segments))
