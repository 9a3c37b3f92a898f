"""The files of a result open elsewhere and hold what the scene holds."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from made_up_scenes import camera, exact_scene, phone_cameras, turn

from zipmap_pl.contracts.scene import FIRST_DOWN, Scene
from zipmap_pl.inference.export import find_exporters, write_scene
from zipmap_pl.inference.points import PointChoice, PointCloud, choose_points

ALL = PointChoice(0.0, edge_angle=0.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return exact_scene()


def write(folder: Path, scene: Scene, *names: str, choice: PointChoice = ALL) -> dict[str, Path]:
    return write_scene(folder, scene, find_exporters(names), choice)


def load_glb(path: Path) -> tuple[trimesh.PointCloud, np.ndarray, dict[str, np.ndarray]]:
    """The points as stored, their places as a viewer shows them, and the vertices of every camera as shown, by name."""
    loaded = trimesh.load(path, force="scene")
    shown = {}
    for node in loaded.graph.nodes_geometry:
        to_world, name = loaded.graph.get(node)
        shown[node] = trimesh.transform_points(loaded.geometry[name].vertices, to_world)
    shown = dict(sorted(shown.items()))
    (name,) = [n for n, g in loaded.geometry.items() if isinstance(g, trimesh.PointCloud)]
    return loaded.geometry[name], shown.pop("points"), shown


def stored_colors(data: bytes) -> np.ndarray:
    """Colors of a GLB, to their last bit; trimesh would round them to bytes."""
    length = int.from_bytes(data[12:16], "little")
    text = json.loads(data[20 : 20 + length])
    accessor = text["accessors"][text["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"]) == (5126, "VEC3")
    view = text["bufferViews"][accessor["bufferView"]]
    start = 20 + length + 8 + view["byteOffset"]
    return np.frombuffer(data[start : start + view["byteLength"]], "<f4").reshape(-1, 3)


def test_cameras_hold_the_crop_and_the_way_from_a_depth_pixel_to_the_photo(scene: Scene, tmp_path: Path) -> None:
    file = json.loads(write(tmp_path, scene)["cameras"].read_text())
    for number, view in enumerate(file["views"]):
        there = view["photo_from_model"]
        height, width = scene.source_sizes[number]
        assert view["size"] == {"height": height, "width": width}
        local = np.array(view["world_to_cam"]) @ np.r_[choose_points(scene, ALL).points[0], 1]
        if number == 0:  # the first point is that of the first pixel
            x, y, z = np.array(view["intrinsics"]) @ local
            expected = [there["scale_x"] * 0.5 + there["left"], there["scale_y"] * 0.5 + there["top"]]
            assert np.allclose([x / z, y / z], expected, atol=1e-3)
        crop = view["crop"]
        assert view["kept"] == pytest.approx(crop["width"] * crop["height"] / (height * width))
        assert view["kept"] == pytest.approx(0.75)
    assert "OpenCV" in file["conventions"]["axes"]
    assert file["conventions"]["world"] == "the camera of the first view"


def test_depth_is_written_as_numbers_and_as_an_image(scene: Scene, tmp_path: Path) -> None:
    folder = write(tmp_path, scene, "depth")["depth"]
    stored = sorted(folder.glob("*.npy"))
    assert np.array_equal(np.stack([np.load(path) for path in stored]), scene.depth)
    assert all(cv2.imread(str(path.with_suffix(".png"))).shape == (*scene.depth.shape[1:], 3) for path in stored)


def test_ply_holds_points_and_exact_colors(scene: Scene, tmp_path: Path) -> None:
    cloud = trimesh.load(write(tmp_path, scene, "ply")["points (ply)"])
    assert np.allclose(cloud.vertices, choose_points(scene, ALL).points, atol=0)
    assert np.array_equal(cloud.colors[:, :3], scene.images.reshape(-1, 3))


def test_glb_holds_every_camera_where_it_stands(scene: Scene, tmp_path: Path) -> None:
    level = replace(scene, down=np.array(FIRST_DOWN))
    _, points, cameras = load_glb(write(tmp_path, level, "glb")["points (glb)"])
    assert np.allclose(points, choose_points(scene, ALL).points * [1, -1, -1], atol=1e-5)
    centers = scene.cam_to_world[:, :3, 3] * [1, -1, -1]
    assert all(
        np.abs(vertices - center).sum(1).min() < 1e-6
        for vertices, center in zip(cameras.values(), centers, strict=True)
    )


def test_colors_of_a_glb_are_linear_and_lose_nothing(tmp_path: Path, scene: Scene) -> None:
    """By the standard, viewers turn them into sRGB: that has to give the bytes of the photo again, the dark ones too."""
    colors = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(-1, 3)
    cloud = PointCloud(np.eye(3, dtype=np.float32)[np.arange(256) % 3], colors, *(np.zeros(256) for _ in range(3)))
    (module,) = find_exporters(["glb"])[1:]
    linear = stored_colors(module.write(tmp_path, scene, cloud)["points (glb)"].read_bytes())
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.array_equal(np.rint(255 * srgb), colors)


def test_a_glb_opens_upright_when_the_first_camera_was_not_level(tmp_path: Path) -> None:
    """The floor of the room is below all cameras, and level, though no camera looked straight ahead."""
    cameras = [camera(f"{i}.jpg", (0.3 * i, 0, -3), turn(15 * i - 20, -35), 200, (240, 320)) for i in range(4)]
    scene = exact_scene(cameras)
    _, points, shown = load_glb(
        write(tmp_path, scene, "glb", choice=replace(ALL, confidence_percentile=0))["points (glb)"]
    )
    floor = points[:, 1] < points[:, 1].min() + 0.02
    assert floor.sum() > 1000
    centers = np.array([vertices[0] for vertices in shown.values()])
    assert np.allclose(centers[:, 1] - points[:, 1].min(), 1.5, atol=0.02)


def test_points_of_the_usable_views_are_bounded_confident_and_finite(scene: Scene) -> None:
    bad = replace(scene, depth=scene.depth.copy(), world_to_cam=scene.world_to_cam.copy())
    bad.depth[0, 0, 0] = np.nan
    bad.world_to_cam[1] = np.nan
    cloud = choose_points(bad, PointChoice(50.0, edge_angle=0.0))
    assert abs(len(cloud.points) - (3 * 84 * 84 - 1) / 2) <= 1
    assert np.isfinite(cloud.points).all()
    assert set(cloud.views) == {0, 2, 3}
    few = choose_points(scene, PointChoice(0.0, 100))
    assert len(few.points) == len(np.unique(few.points, axis=0)) == 100
    assert np.bincount(few.views).min() > 20  # spread over the views


def test_colors_and_places_are_those_of_the_points(scene: Scene) -> None:
    cloud = choose_points(scene, PointChoice(30.0, 500, voxel=0.05))
    rows, columns = cloud.pixels.T
    assert np.array_equal(cloud.colors, scene.images[cloud.views, rows, columns])
    assert np.array_equal(cloud.confidence, scene.confidence[cloud.views, rows, columns])
    for point, view, (row, column) in zip(cloud.points[::50], cloud.views[::50], cloud.pixels[::50], strict=True):
        x, y, z = scene.intrinsics[view] @ (scene.world_to_cam[view] @ np.r_[point, 1])
        assert np.allclose([x / z, y / z], [column + 0.5, row + 0.5], atol=1e-3)


def test_a_cube_keeps_its_most_confident_point(scene: Scene) -> None:
    everything, thinned = (choose_points(scene, replace(ALL, voxel=side)) for side in (0.0, 0.23))
    best: dict[tuple[int, ...], float] = {}
    for cube, confidence in zip(np.floor(everything.points / 0.23), everything.confidence, strict=True):
        key = tuple(int(number) for number in cube)
        best[key] = max(best.get(key, 0), float(confidence))
    assert len(thinned.points) == pytest.approx(len(best), rel=0.005)
    assert np.sort(thinned.confidence)[::100] == pytest.approx(np.sort(list(best.values()))[::100], abs=0.02)


def test_points_of_the_head_are_used_when_asked_for(scene: Scene) -> None:
    moved = replace(scene, local_points=scene.local_points * np.float32(2))
    from_depth, from_head = (choose_points(moved, replace(ALL, source=source)) for source in ("depth", "head"))
    centers = scene.cam_to_world[from_depth.views, :3, 3]
    assert np.allclose(from_head.points - centers, 2 * (from_depth.points - centers), atol=1e-4)


def test_cam_to_world_is_the_inverse(scene: Scene) -> None:
    cameras = phone_cameras()
    first = np.r_[cameras[0].world_to_cam, [[0, 0, 0, 1]]]
    centers = [np.linalg.inv(np.r_[shown.world_to_cam, [[0, 0, 0, 1]]])[:, 3] for shown in cameras]
    assert np.allclose(scene.cam_to_world[:, :, 3], [first @ center for center in centers], atol=1e-6)
