"""Gravity from cameras that people hold level."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_up_scenes import turn

from zipmap_pl.geometry.gravity import estimate_down, turn_between

DOWN = np.array([0.0, 1.0, 0.0])
ELSEWHERE = turn(70, 40, 160)  # the world of a reconstruction is turned anyhow


def found(angles: list[tuple[float, float, float]]) -> float:
    """Degrees between true and estimated gravity of cameras turned by yaw, pitch, roll."""
    cameras = np.stack([np.c_[turn(*angle) @ ELSEWHERE.T, np.zeros(3)] for angle in angles])
    return float(np.rad2deg(np.arccos(np.clip(estimate_down(cameras) @ ELSEWHERE @ DOWN, -1, 1))))


def test_level_cameras_that_look_down_by_different_amounts_and_ways() -> None:
    assert found([(-40, -60, 0), (0, -45, 0), (35, -70, 0), (80, -50, 0)]) < 3


def test_rolls_of_a_hand_average_out() -> None:
    rng = np.random.default_rng(0)
    assert found([(yaw, rng.normal(-10, 5), rng.normal(0, 2)) for yaw in range(-60, 61, 5)]) < 1.5


@pytest.mark.parametrize("angles", [[(0, 0, 0)], [(20, -10, 0)] * 5, [(20, pitch, 0) for pitch in range(-40, 21, 5)]])
def test_cameras_that_look_one_way_have_their_own_down(angles: list[tuple[float, float, float]]) -> None:
    assert found(angles) <= 11


def test_cameras_that_are_no_numbers_are_left_out() -> None:
    bad = np.full((3, 3, 4), np.nan)
    assert np.array_equal(estimate_down(bad), DOWN)
    bad[1] = np.eye(4)[:3]
    assert np.allclose(estimate_down(bad), DOWN)


vectors = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.1)


@given(vectors, vectors)
@example(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1e-05, -0.875]))
def test_a_turn_takes_one_direction_to_another_and_is_a_rotation(start: np.ndarray, end: np.ndarray) -> None:
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    for target in (end, start, -start):
        turned = turn_between(start, target)
        assert np.allclose(turned @ start, target, atol=1e-8)
        assert np.allclose(turned @ turned.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turned) == pytest.approx(1, abs=1e-12)
