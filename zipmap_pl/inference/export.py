"""Writes a Scene to files that open elsewhere: cameras as JSON, depth as PNG and NPY, the point cloud as PLY and GLB."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import trimesh

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.cloud import draw_cloud
from zipmap_pl.drawing.depth_colours import colour_depth, depth_key, depth_limits
from zipmap_pl.drawing.sheet import GAP, TEXT_HEIGHT, Row, draw_sheet
from zipmap_pl.errors import NO_ROOM, UserError

PREVIEW_VIEWS, PREVIEW_WIDTH = 6, 180  # pictures side by side, and pixels of each
PREVIEW_POINTS, PREVIEW_CONFIDENCE = 200_000, 30.0  # at most so many, above this percentile
# GLB viewers expect y up and look along -z: turn OpenCV axes by half a turn about x.
GLB_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write to, which gets the name `path` once the block has ended well and is removed otherwise.

    Raises:
        UserError: something is there already, or there is no room.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path}: not empty, expected a new folder for the results; choose another --output")
    path = path.resolve()
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise UserError(f"{path}: {error.strerror}; make room, or choose another --output") from error
        raise


def write_cameras(path: Path, scene: Scene) -> None:
    """Cameras of all views as JSON, with the conventions written beside the numbers; null where one is not finite."""
    views = [
        {
            "name": name,
            "world_to_cam": _numbers(scene.extrinsics[i]),
            "intrinsics": _numbers(scene.source_intrinsics[i]),
            "size": {"height": int(scene.source_sizes[i, 0]), "width": int(scene.source_sizes[i, 1])},
            "intrinsics_at_model_size": _numbers(scene.intrinsics[i]),
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
    path.write_text(json.dumps({"conventions": conventions, "views": views}, indent=1, allow_nan=False) + "\n")


def _numbers(array: np.ndarray) -> list | None:
    return array.tolist() if np.isfinite(array).all() else None


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
    """World points [N, 3] float32 and colours [N, 3] uint8: the more confident ones, thinned at random to `max_points`.

    Points that are not finite are left out; there has to be one that is.
    """
    points = scene.points.reshape(-1, 3)
    finite = np.isfinite(points).all(axis=1)
    confidence = np.where(finite, np.nan_to_num(scene.confidence.reshape(-1)), 0)
    keep = np.flatnonzero(finite)
    keep = keep[confidence[keep] >= np.percentile(confidence[keep], confidence_percentile)]
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
    low, high = np.percentile(points, [5, 95], axis=0)
    world = trimesh.Scene()
    world.add_geometry(
        trimesh.PointCloud(points, colors=np.c_[colours, np.full(len(colours), 255, np.uint8)]), node_name="points"
    )
    length = 0.04 * float(np.linalg.norm(high - low)) or 0.1
    for number in np.flatnonzero(scene.usable):
        frustum = _frustum(scene.intrinsics[number], scene.depth.shape[1:], length)
        world.add_geometry(frustum, node_name=f"camera-{number:04d}", transform=scene.cam_to_world[number])
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
    """One picture of the result, [H, W, 3] uint8: some views, their depth, the cameras from above, the points."""
    chosen = np.unique(np.linspace(0, len(scene.names) - 1, PREVIEW_VIEWS).round().astype(int))
    near, far = depth_limits(list(scene.depth[chosen]))
    depths = [colour_depth(depth, None, near, far) for depth in scene.depth[chosen]]
    points, colours = choose_points(scene, PREVIEW_CONFIDENCE, PREVIEW_POINTS)
    span = max(2, len(chosen) // 2)
    width = span * (PREVIEW_WIDTH + GAP) - GAP
    height = round(0.62 * width)
    path = [CameraPath(scene.cam_to_world, "cameras, from above")]
    above = cameras_from_above(path, points, colours, width, height)
    cloud = draw_cloud(points, colours, scene.cam_to_world, width, height)
    return draw_sheet(
        [
            Row(list(scene.images[chosen]), "picture", [scene.names[i] for i in chosen]),
            Row(depths, "depth", key=depth_key(near, far, TEXT_HEIGHT)),
            Row([above, cloud], "points", span=span),
        ],
        cell_width=PREVIEW_WIDTH,
    )


def write_scene(folder: Path, scene: Scene, confidence_percentile: float, max_points: int) -> dict[str, Path]:
    """Write everything below `folder`, which is there. Returns what was written by name."""
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
