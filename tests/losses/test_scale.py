"""The scale solver finds the true minimum, samples as it says, and knows no unit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zipmap_pl.losses.scale import _even_samples, solve_point_scale, weighted_l1_scale

seeds = st.integers(0, 2**31 - 1)


def cost(factor: torch.Tensor, x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (weights * (factor * x - y).abs()).sum()


@settings(max_examples=60)
@given(seeds, st.integers(1, 40))
def test_no_ratio_is_better_than_the_solution(seed, count):
    """The minimum of a piecewise linear function lies at a kink: try all of them."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 3, count, generator=generator, dtype=torch.float64).unbind(0)
    weights = torch.rand(3, count, generator=generator, dtype=torch.float64) + 0.01
    solution = weighted_l1_scale(x, y, weights)
    for scene in range(3):
        best = min(cost(a, x[scene], y[scene], weights[scene]) for a in y[scene] / x[scene])
        assert cost(solution[scene], x[scene], y[scene], weights[scene]) == pytest.approx(best.item(), rel=1e-9)


def test_outliers_do_not_move_the_scale():
    truth = 1 + torch.rand(1, 2, 8, 8, 3)
    prediction = truth / 3
    truth[0, 0, :3] = 50
    scale = solve_point_scale(prediction, truth, torch.ones(1, 2, 8, 8, dtype=torch.bool))
    assert scale.item() == pytest.approx(3, rel=1e-4)


def test_invalid_pixels_and_empty_scenes():
    truth = 1 + torch.rand(2, 2, 8, 8, 3)
    prediction = truth / 3
    mask = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
    mask[0, 1, 2:4] = True
    prediction[0, 0] = torch.nan
    assert solve_point_scale(prediction, truth, mask, samples=100).tolist() == pytest.approx([3, 1], rel=1e-4)


@settings(max_examples=30)
@given(seeds, st.integers(1, 300), st.floats(0.01, 1))
def test_samples_step_evenly_through_the_valid_pixels(seed, samples, share):
    mask = torch.rand(3, 2, 6, 5, generator=torch.Generator().manual_seed(seed)) < share
    mask[2] = False
    index, empty = _even_samples(mask, samples)
    assert empty[2]
    for scene in range(3):
        valid = np.flatnonzero(mask[scene].numpy())
        assert bool(empty[scene]) == (len(valid) == 0)
        if len(valid):
            assert index[scene].tolist() == valid[np.arange(samples) * len(valid) // samples].tolist()
