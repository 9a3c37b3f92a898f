"""The files of a result open elsewhere and hold what the scene holds."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.export import find_exporters, write_scene
from zipmap_pl.inference.points import choose_points

HEIGHT, WIDTH, VIEWS = 14, 28, 3


@pytest.fixture
def scene() -> Scene:
    """Three cameras one unit apart along x, looking at a plane four units away, half a pixel grid each."""
    rng = np.random.default_rng(0)
    intrinsics = np.tile(np.array([[20.0, 0, WIDTH / 2], [0, 20.0, HEIGHT / 2], [0, 0, 1]]), (VIEWS, 1, 1))
    world_to_cam = np.tile(np.eye(4)[:3], (VIEWS, 1, 1))
    world_to_cam[:, 0, 3] = -np.arange(VIEWS)
    depth = np.full((VIEWS, HEIGHT, WIDTH), 4.0, np.float32)
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([(x - WIDTH / 2) / 20, (y - HEIGHT / 2) / 20, np.ones_like(x)], -1)
    points = rays[None] * 4 + np.arange(VIEWS)[:, None, None, None] * np.array([1.0, 0, 0])
    return Scene(
        names=[f"view {i}.jpg" for i in range(VIEWS)],
        images=rng.integers(0, 256, (VIEWS, HEIGHT, WIDTH, 3), np.uint8),
        world_to_cam=world_to_cam,
        intrinsics=intrinsics,
        source_intrinsics=intrinsics * np.array([[10.0], [10.0], [1.0]]),
        source_sizes=np.tile([HEIGHT * 10, WIDTH * 10], (VIEWS, 1)),
        depth=depth,
        confidence=rng.uniform(1, 2, (VIEWS, HEIGHT, WIDTH)).astype(np.float32),
        points=points.astype(np.float32),
    )


def test_cameras_and_depth(scene: Scene, tmp_path: Path) -> None:
    paths = write_scene(tmp_path, scene, find_exporters(), 0.0, 10_000)
    cameras = json.loads(paths["cameras"].read_text())
    assert np.allclose([v["world_to_cam"] for v in cameras["views"]], scene.world_to_cam, atol=0)
    assert np.allclose([v["intrinsics"] for v in cameras["views"]], scene.source_intrinsics, atol=0)
    assert cameras["views"][0]["size"] == {"height": 140, "width": 280}
    assert "OpenCV" in cameras["conventions"]["axes"]
    stored = sorted(paths["depth"].glob("*.npy"))
    assert np.array_equal(np.stack([np.load(path) for path in stored]), scene.depth)
    assert all(cv2.imread(str(path.with_suffix(".png"))).shape == (HEIGHT, WIDTH, 3) for path in stored)
    assert cv2.imread(str(paths["preview"])) is not None


def test_ply_holds_points_and_colours(scene: Scene, tmp_path: Path) -> None:
    cloud = trimesh.load(write_scene(tmp_path, scene, find_exporters(), 0.0, 10_000)["points (ply)"])
    assert np.allclose(cloud.vertices, scene.points.reshape(-1, 3), atol=1e-6)
    assert np.array_equal(cloud.colors[:, :3], scene.images.reshape(-1, 3))


def test_glb_is_upright_and_has_every_camera(scene: Scene, tmp_path: Path) -> None:
    loaded = trimesh.load(write_scene(tmp_path, scene, find_exporters(), 0.0, 10_000)["points (glb)"], force="scene")
    clouds = [g for g in loaded.geometry.values() if isinstance(g, trimesh.PointCloud)]
    assert len(loaded.geometry) - len(clouds) == VIEWS
    name = next(n for n, g in loaded.geometry.items() if isinstance(g, trimesh.PointCloud))
    to_world = loaded.graph.get(loaded.graph.geometry_nodes[name][0])[0]
    vertices = trimesh.transform_points(loaded.geometry[name].vertices, to_world)
    assert np.allclose(vertices, scene.points.reshape(-1, 3) * [1, -1, -1], atol=1e-5)


def test_points_are_bounded_confident_and_finite(scene: Scene) -> None:
    scene.points[0, 0, 0] = np.nan
    points, colours = choose_points(scene, 50.0, 10_000)
    assert len(points) == len(colours)
    assert abs(len(points) - scene.confidence.size / 2) <= 1
    assert np.isfinite(points).all()
    assert len(choose_points(scene, 0.0, 100)[0]) == 100


def test_cam_to_world_is_the_inverse(scene: Scene) -> None:
    assert np.allclose(scene.cam_to_world[:, :3, 3], [[0, 0, 0], [1, 0, 0], [2, 0, 0]])
