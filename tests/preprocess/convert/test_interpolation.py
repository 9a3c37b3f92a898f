"""Poses between poses, against scipy."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from zipmap_pl.preprocess.convert.interpolation import interpolated

TIMES = np.array((10.0, 10.1, 10.2, 10.55, 10.6))
LONGEST = 0.25


def poses_of(rotations):
    poses = np.tile(np.eye(4), (len(rotations), 1, 1))
    poses[:, :3, :3] = rotations.as_matrix()
    poses[:, :3, 3] = np.random.default_rng(0).normal(size=(len(rotations), 3))
    return poses


POSES = poses_of(Rotation.random(len(TIMES), random_state=1))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("degrees", [1e-7, 0.5, 20.0, 120.0, 179.0])
def test_rotations_are_scipys_slerp_and_positions_lie_on_the_line(seed, degrees):
    start = Rotation.random(random_state=seed)
    axis = np.random.default_rng(seed).normal(size=3)
    end = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)) * start
    both, times = Rotation.concatenate((start, end)), np.array((0.0, 0.2))
    poses = poses_of(both)
    for t in (0.001, 0.05, 0.1, 0.17):
        found = interpolated(times, poses, t, LONGEST)
        np.testing.assert_allclose(found[:3, :3], Slerp(times, both)(t).as_matrix(), atol=2e-14)
        np.testing.assert_allclose(found[:3, 3], poses[0, :3, 3] + t / 0.2 * (poses[1, :3, 3] - poses[0, :3, 3]))
        np.testing.assert_array_equal(found[3], (0, 0, 0, 1))


def test_the_two_neighbors_count_and_no_other():
    found = interpolated(TIMES, POSES, 10.15, LONGEST)
    np.testing.assert_array_equal(found, interpolated(TIMES[1:3], POSES[1:3], 10.15, LONGEST))
    expected = Slerp(TIMES, Rotation.from_matrix(POSES[:, :3, :3]))(10.15).as_matrix()
    np.testing.assert_allclose(found[:3, :3], expected, atol=1e-13)


@pytest.mark.parametrize("place", range(len(TIMES)))
def test_at_a_time_of_the_trajectory_its_pose_is_kept_bit_for_bit(place):
    np.testing.assert_array_equal(interpolated(TIMES, POSES, TIMES[place], LONGEST), POSES[place])


@pytest.mark.parametrize("t", [9.999, 10.601, 10.4, np.nan, np.inf, -np.inf])
def test_outside_and_in_a_long_gap_there_is_no_pose(t):
    assert interpolated(TIMES, POSES, t, LONGEST) is None


def test_the_gap_that_is_allowed_decides():
    assert interpolated(TIMES, POSES, 10.4, 0.36) is not None


def test_no_trajectory_no_pose():
    assert interpolated(np.zeros(0), np.zeros((0, 4, 4)), 1.0, LONGEST) is None


def test_rotations_from_text_with_few_digits_give_a_rotation():
    found = interpolated(TIMES, np.round(POSES, 3), 10.03, LONGEST)[:3, :3]
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(found, interpolated(TIMES, POSES, 10.03, LONGEST)[:3, :3], atol=3e-3)


def test_a_pose_that_is_not_finite_stays_so():
    spoiled = POSES.copy()
    spoiled[1, 0, 0] = np.nan
    assert np.isnan(interpolated(TIMES, spoiled, 10.05, LONGEST)[:3, :3]).all()
