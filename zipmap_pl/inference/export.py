"""Writes a Scene to files that open elsewhere: cameras as JSON, depth as PNG and NPY, the point cloud as PLY and GLB."""

import json
from pathlib import Path

import cv2
import numpy as np
import trimesh

from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits
from zipmap_pl.drawing.sheet import Row, draw_sheet
from zipmap_pl.inference.scene import Scene

PREVIEW_VIEWS = 6
# GLB viewers expect y up and look along -z: turn OpenCV axes by half a turn about x.
GLB_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def write_cameras(path: Path, scene: Scene) -> None:
    """Cameras of all views as JSON, with the conventions written beside the numbers."""
    views = [
        {
            "name": name,
            "world_to_cam": scene.extrinsics[i].tolist(),
            "intrinsics": scene.source_intrinsics[i].tolist(),
            "size": {"height": int(scene.source_sizes[i, 0]), "width": int(scene.source_sizes[i, 1])},
            "intrinsics_at_model_size": scene.intrinsics[i].tolist(),
            "model_size": {"height": scene.depth.shape[1], "width": scene.depth.shape[2]},
        }
        for i, name in enumerate(scene.names)
    ]
    conventions = {
        "axes": "OpenCV: x right, y down, z forward",
        "world_to_cam": "3x4, row-major; the world is the camera of the first view",
        "intrinsics": "3x3, pixels of the original picture measured from its corner: the first pixel's centre is (0.5, 0.5)",
        "scale": "arbitrary",
    }
    path.write_text(json.dumps({"conventions": conventions, "views": views}, indent=1) + "\n")


def write_depth(folder: Path, scene: Scene) -> None:
    """Per view `<name>.npy` (float32 planar z at the model's size) and `<name>.png` (a picture of it, one scale for all views)."""
    folder.mkdir(parents=True, exist_ok=True)
    near, far = depth_limits(list(scene.depth))
    for i, name in enumerate(scene.names):
        stem = f"{i:06d}-{Path(name).stem}"
        np.save(folder / f"{stem}.npy", scene.depth[i])
        picture = colour_depth(scene.depth[i], None, near, far)
        _write_png(folder / f"{stem}.png", picture)


def choose_points(scene: Scene, confidence_percentile: float, max_points: int) -> tuple[np.ndarray, np.ndarray]:
    """World points [N, 3] float32 and colours [N, 3] uint8: the more confident ones, evenly thinned to at most `max_points`."""
    confidence = scene.confidence.reshape(-1)
    points = scene.points.reshape(-1, 3)
    keep = np.flatnonzero(
        (confidence >= np.percentile(confidence, confidence_percentile)) & np.isfinite(points).all(axis=1)
    )
    if len(keep) > max_points:
        keep = np.sort(np.random.default_rng(0).choice(keep, max_points, replace=False))
    return points[keep].astype(np.float32), scene.images.reshape(-1, 3)[keep]


def write_ply(path: Path, points: np.ndarray, colours: np.ndarray) -> None:
    """A coloured point cloud as binary little-endian PLY, in OpenCV axes. `points` [N, 3] float32, `colours` [N, 3] uint8."""
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment OpenCV axes: x right, y down, z forward\n"
        f"element vertex {len(points)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
    )
    rows = np.empty(len(points), dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = points, colours
    with path.open("wb") as file:
        file.write(header.encode("ascii"))
        rows.tofile(file)


def write_glb(path: Path, points: np.ndarray, colours: np.ndarray, scene: Scene) -> None:
    """The point cloud and the cameras' frusta as binary glTF, turned so that viewers show it upright."""
    low, high = np.percentile(points, [5, 95], axis=0) if len(points) else (np.zeros(3), np.ones(3))
    world = trimesh.Scene()
    world.add_geometry(
        trimesh.PointCloud(points, colors=np.c_[colours, np.full(len(colours), 255, np.uint8)]), node_name="points"
    )
    for number, (pose, intrinsics) in enumerate(zip(scene.cam_to_world, scene.intrinsics, strict=True)):
        frustum = _frustum(intrinsics, scene.depth.shape[1:], 0.04 * float(np.linalg.norm(high - low)))
        world.add_geometry(frustum, node_name=f"camera-{number:04d}", transform=pose)
    world.apply_transform(GLB_FROM_OPENCV)
    path.write_bytes(world.export(file_type="glb"))


def _frustum(intrinsics: np.ndarray, size: tuple[int, ...], length: float) -> trimesh.path.Path3D:
    """Lines from the centre of a camera to the corners of its picture at distance `length`."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    rays = np.c_[(corners - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]], np.ones(4)] * length
    centre = np.zeros(3)
    segments = [[centre, ray] for ray in rays] + [[rays[i], rays[(i + 1) % 4]] for i in range(4)]
    return trimesh.load_path(np.array(segments))


def preview(scene: Scene) -> np.ndarray:
    """One picture of the result, [H, W, 3] uint8: some views, their depth, the cameras from above."""
    chosen = np.unique(np.linspace(0, len(scene.names) - 1, PREVIEW_VIEWS).round().astype(int))
    near, far = depth_limits(list(scene.depth[chosen]))
    depths = [colour_depth(depth, None, near, far) for depth in scene.depth[chosen]]
    points, colours = choose_points(scene, 30.0, 20_000)
    above = cameras_from_above([CameraPath(scene.cam_to_world, "cameras")], points, colours)
    captions = [scene.names[i] for i in chosen]
    return draw_sheet(
        [Row(list(scene.images[chosen]), "picture", captions), Row(depths, "depth"), Row([above], "from above", span=2)]
    )


def write_scene(folder: Path, scene: Scene, confidence_percentile: float, max_points: int) -> dict[str, Path]:
    """Write everything below `folder`. Returns what was written by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "cameras": folder / "cameras.json",
        "depth": folder / "depth",
        "points (ply)": folder / "points.ply",
        "points (glb)": folder / "points.glb",
        "preview": folder / "preview.png",
    }
    write_cameras(paths["cameras"], scene)
    write_depth(paths["depth"], scene)
    points, colours = choose_points(scene, confidence_percentile, max_points)
    write_ply(paths["points (ply)"], points, colours)
    write_glb(paths["points (glb)"], points, colours, scene)
    _write_png(paths["preview"], preview(scene))
    return paths


def _write_png(path: Path, image: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
