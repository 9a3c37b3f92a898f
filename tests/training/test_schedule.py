"""The learning rate is a pure function of the step with the published shape."""

import pytest

from zipmap_pl.training.step.schedule import learning_rate

PUBLISHED = {"total_steps": 80_000, "peak": 1e-4, "warmup_share": 0.05, "floor": 1e-8}


def test_starts_at_the_floor_peaks_after_warm_up_and_ends_at_the_floor() -> None:
    assert learning_rate(0, **PUBLISHED) == 1e-8
    assert learning_rate(4_000, **PUBLISHED) == pytest.approx(1e-4)
    assert learning_rate(80_000, **PUBLISHED) == pytest.approx(1e-8)


def test_warm_up_is_linear_and_the_fall_is_half_a_cosine() -> None:
    assert learning_rate(2_000, **PUBLISHED) == pytest.approx((1e-4 + 1e-8) / 2)
    assert learning_rate(42_000, **PUBLISHED) == pytest.approx((1e-4 + 1e-8) / 2)
    assert learning_rate(23_000, **PUBLISHED) == pytest.approx(1e-8 + (1e-4 - 1e-8) * (2 + 2**0.5) / 4)


def test_no_warm_up() -> None:
    assert learning_rate(0, 10, 1.0, warmup_share=0.0, floor=0.0) == 1.0
