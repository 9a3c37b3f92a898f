"""Planar depth of distances and disparities."""

import numpy as np
import pytest
from miniatures.rooms import Room

from zipmap_pl.preprocess.convert.depth_of import of_disparity, planar

HEIGHT, WIDTH = 30, 44
INTRINSICS = np.array(((31.0, 0, 19.3), (0, 29.0, 16.1), (0, 0, 1)))


def test_distances_along_rays_become_planar_depth():
    room = Room(seed=2)
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack(((columns - 19.3) / 31, (rows - 16.1) / 29, np.ones_like(rows)), axis=-1)
    distance = room.trace(room.pose(1), rays / np.linalg.norm(rays, axis=-1, keepdims=True)).depth
    depth = planar(distance.astype(np.float32), INTRINSICS)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, room.see(room.pose(1), INTRINSICS, HEIGHT, WIDTH).depth, rtol=2e-7)


def test_the_formula_of_scenenets_authors():
    x = np.tan(np.radians(30)) * (2 * (np.arange(32) + 0.5) / 32 - 1)
    y = np.tan(np.radians(22.5)) * (2 * (np.arange(24) + 0.5) / 24 - 1)
    fx, fy = 16 / np.tan(np.radians(30)), 12 / np.tan(np.radians(22.5))
    depth = planar(np.full((24, 32), 3.0), np.array(((fx, 0, 16), (0, fy, 12), (0, 0, 1))))
    np.testing.assert_allclose(depth, 3 / np.sqrt(x**2 + y[:, None] ** 2 + 1), rtol=1e-7)


def test_a_distance_that_is_none_stays_none():
    distance = np.array(((0.0, -1.0), (np.nan, np.inf)), np.float32)
    depth = planar(distance, np.array(((2.0, 0, 1), (0, 2.0, 1), (0, 0, 1))))
    assert depth[0, 0] == 0 and depth[0, 1] < 0 and np.isnan(depth[1, 0]) and np.isinf(depth[1, 1])


def test_disparity_times_depth_is_focal_times_baseline():
    disparity = np.random.default_rng(0).uniform(0.01, 300, (HEIGHT, WIDTH)).astype(np.float32)
    depth = of_disparity(disparity, 1920.0, 0.065)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth * disparity, 1920.0 * 0.065, rtol=3e-7)


@pytest.mark.filterwarnings("error")
def test_what_is_no_disparity_is_no_depth():
    disparity = np.array(((0.0, -0.0, -2.0), (np.nan, np.inf, 1e-300)))
    np.testing.assert_array_equal(of_disparity(disparity, 100.0, 0.1), np.zeros((2, 3)))
    assert of_disparity(np.array([[2.0]]), 100.0, 0.1)[0, 0] == 5
