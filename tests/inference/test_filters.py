"""Points at depth edges and in the sky go, what is real stays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_up_scenes import PILLAR, ROOM, exact_scene, phone_cameras

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.geometry.exact_cameras import invert_rigid
from zipmap_pl.inference.filters import at_edges, in_sky
from zipmap_pl.inference.points import PointChoice, choose_points

SIZE = (140, 140)


@pytest.fixture(scope="module")
def smeared() -> Scene:
    """The room as networks predict it: depth blurred at the edges of the pillar."""
    scene = exact_scene(size=SIZE)
    return replace(scene, depth=np.stack([cv2.GaussianBlur(depth, (5, 5), 0) for depth in scene.depth]))


def from_surface(scene: Scene, choice: PointChoice) -> np.ndarray:
    """Distances [N] of the points from the nearest surface of the room or the pillar."""
    first = np.r_[phone_cameras()[0].world_to_cam, [[0, 0, 0, 1]]]
    points = choose_points(scene, choice).points @ invert_rigid(first)[:, :3].T + invert_rigid(first)[:, 3]
    walls = np.abs(np.abs(points) - ROOM).min(axis=1)
    outside = np.maximum(np.maximum(PILLAR[0] - points, points - PILLAR[1]), 0)
    inside = np.minimum(points - PILLAR[0], PILLAR[1] - points).min(axis=1)
    return np.minimum(walls, np.maximum(np.linalg.norm(outside, axis=1), np.maximum(inside, 0)))


def test_flying_points_go_and_most_others_stay(smeared: Scene) -> None:
    everything, filtered = (from_surface(smeared, PointChoice(0.0, edge_angle=angle)) for angle in (0.0, 3.0))
    flying = 0.1
    assert (everything > flying).sum() > 500
    assert (filtered > flying).sum() < 0.03 * (everything > flying).sum()
    assert (filtered < flying).sum() > 0.95 * (everything < flying).sum()


@pytest.mark.parametrize("width", [70, 700])
def test_a_floor_seen_at_ten_degrees_has_no_edges_at_any_resolution(width: int) -> None:
    focal, half = width * 0.8, np.tan(np.deg2rad(2))
    rows = np.tan(np.deg2rad(10)) + np.linspace(-half, half, int(2 * half * focal))  # height of a ray per unit of depth
    floor = np.repeat((1 / rows)[:, None], 5, axis=1)
    assert not at_edges(floor, (focal, focal), 3.0).any()


def test_two_pixels_on_both_sides_of_a_step_are_edges_and_holes_are_not() -> None:
    depth = np.full((4, 6), 2.0, np.float32)
    depth[:, 3:] = 3.0
    depth[0, 0], depth[3, 5] = np.nan, 0
    edges = at_edges(depth, (100.0, 100.0), 3.0)
    assert np.array_equal(np.flatnonzero(edges.any(axis=0)), [1, 2, 3, 4])
    assert not at_edges(depth, (100.0, 100.0), 0.0).any()


def test_sky_is_what_is_bright_smooth_and_joined_to_the_upper_border() -> None:
    image = np.full((80, 100, 3), (150, 110, 70), np.uint8)
    image[:40] = np.linspace((120, 160, 230), (200, 215, 235), 40)[:, None].astype(np.uint8)
    image[55:65, 20:60] = (150, 180, 230)  # a pond
    image[:, 70:74] = 40  # a mast
    sky = in_sky(image)
    assert sky[:38, :68].all()
    assert sky[:38, 76:].all()
    assert not sky[42:].any()
    assert not sky[:, 71:73].any()


def test_a_filter_that_would_leave_nothing_is_not_applied(caplog: pytest.LogCaptureFixture) -> None:
    scene = exact_scene(size=(28, 28))
    scene.depth[:] = np.indices((28, 28)).sum(0) % 2 * 9 + 1  # a chessboard: all of it edges
    assert len(choose_points(scene, PointChoice(0.0)).points) == scene.depth.size
    assert "all points would be left out as depth edges; they are kept" in caplog.text


def test_sky_goes_from_the_points_when_asked_for() -> None:
    scene = exact_scene(size=(28, 28))
    scene.images[:] = (90, 60, 40)
    scene.images[:, :14] = (150, 190, 240)
    cloud = choose_points(scene, PointChoice(0.0, edge_angle=0.0, sky=False))
    assert cloud.pixels[:, 0].min() == 14
