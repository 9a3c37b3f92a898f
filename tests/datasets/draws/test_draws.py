from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.datasets.draws.draw import DrawKey, Purpose, ShapeRanges, height_for, slots, stage_number, step_shape
from zipmap_pl.datasets.draws.step_batches import TrainBatches, ValidationBatches

RANGES = ShapeRanges(views=(2, 48), aspect=(0.33, 1.0), width=518, patch_size=14, images_per_gpu=48)


def batches(world, rank, accumulation, total=None, first=0):
    return TrainBatches(7, 3, RANGES, rank, world, accumulation, total, first_number=lambda: first)


def numbers(key, purpose=Purpose.VIEWS):
    return key.generator(purpose).integers(2**63, size=4).tolist()


def test_same_key_same_numbers_and_every_field_matters():
    key = DrawKey(seed=42, stage=1, step=10, slot=3, attempt=0)
    others = [
        DrawKey(43, 1, 10, 3),
        DrawKey(42, 2, 10, 3),
        DrawKey(42, 1, 11, 3),
        DrawKey(42, 1, 10, 4),
        DrawKey(42, 1, 10, 3, attempt=1),
        DrawKey(42, 1, 3, 10),
    ]
    assert numbers(key) == numbers(DrawKey(42, 1, 10, 3))
    streams = [numbers(key), numbers(key, Purpose.PIXELS), *(numbers(other) for other in others)]
    assert len({tuple(stream) for stream in streams}) == len(streams)


def test_numbers_are_those_of_the_first_release():
    # A change here makes every running experiment load other data after an update: say so in the release notes.
    assert stage_number("static") == 14310064187206350242
    assert numbers(DrawKey(42, stage_number("static"), 100, 5))[:2] == [3879607805954157836, 1209017965926638534]


@given(world=st.integers(1, 9), accumulation=st.integers(1, 5), scenes=st.integers(1, 24))
def test_slots_of_a_step_are_dealt_out_once(world, accumulation, scenes):
    dealt = [
        slot for micro in range(accumulation) for rank in range(world) for slot in slots(micro, rank, world, scenes)
    ]
    assert dealt == list(range(world * accumulation * scenes))


@pytest.mark.parametrize(("world", "accumulation"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_a_step_is_the_same_set_however_it_is_split(world, accumulation):
    reference = batches(8, 0, 1)
    for step in range(50):
        expected = {(request.step, request.slot) for rank in range(8) for request in batches(8, rank, 1).batch(step)}
        split = [
            request
            for rank in range(world)
            for micro in range(accumulation)
            for request in batches(world, rank, accumulation).batch(step * accumulation + micro)
        ]
        assert {(request.step, request.slot) for request in split} == expected
        assert len(split) == len(expected)
        shape = reference.batch(step)[0]
        assert {(request.views, request.height, request.width) for request in split} == {
            (shape.views, shape.height, shape.width)
        }


def test_shapes_stay_in_their_ranges_and_below_the_cap():
    shapes = [step_shape(42, 1, step, RANGES) for step in range(20_000)]
    views = np.array([shape.views for shape in shapes])
    heights = np.array([shape.height for shape in shapes])
    assert views.min() == 2 and views.max() == 48
    assert heights.min() == 168 and heights.max() == 518
    assert all(height % 14 == 0 for height in heights)
    assert max(shape.views * shape.scenes for shape in shapes) <= 48
    assert all(shape.scenes == max(1, 48 // shape.views) for shape in shapes)
    counts = np.bincount(views)[2:]
    expected = len(shapes) / 47
    assert abs(counts - expected).max() < 4.5 * np.sqrt(expected)
    images = views * np.array([shape.scenes for shape in shapes])
    assert images.mean() == pytest.approx(40.04, abs=0.2)  # the published average


def test_heights_come_as_often_as_the_published_rounding_makes_them():
    """Shares of all heights, against two decimals of a uniform number; the ends of the range get half an interval."""
    ratios = np.round(np.linspace(0.33, 1, 68), 2)
    weight = np.r_[0.5, np.ones(66), 0.5] / 67
    expected = dict.fromkeys(range(168, 519, 14), 0.0)
    for ratio, share in zip(ratios, weight, strict=True):
        expected[14 * (int(518 * ratio) // 14)] += share
    steps = 20_000
    drawn = Counter(step_shape(42, 1, step, RANGES).height for step in range(steps))
    assert set(drawn) <= set(expected)
    for height, share in expected.items():
        assert abs(drawn[height] - steps * share) < 4.5 * np.sqrt(steps * share + 1), height
    assert expected[518] == pytest.approx(0.0075, abs=0.0001)


@pytest.mark.parametrize("aspect", [(0.753, 0.757), (0.333, 0.333), (0.5, 0.504), (1.0, 1.337)])
def test_the_rounding_does_not_leave_the_range(aspect):
    """Widths that show every third decimal in the height."""
    ranges = ShapeRanges((2, 2), aspect, 14_000, 1, 48)
    heights = {step_shape(1, 1, step, ranges).height / 14_000 for step in range(300)}
    assert aspect[0] <= min(heights) <= max(heights) <= aspect[1]
    inside = {height for height in heights if height not in aspect}
    assert inside <= {round(ratio, 2) for ratio in inside}


def test_heights_reach_the_ends_of_the_range():
    assert [height_for(aspect, 518, 14) for aspect in (0.33, 0.5, 0.75, 1.0)] == [168, 252, 378, 518]
    assert height_for(0.75, 56, 14) == 42
    assert height_for(0.01, 56, 14) == 14


def test_resume_yields_the_rest_of_the_unbroken_run():
    whole = list(batches(2, 1, 3, total=12))
    assert len(whole) == 36
    assert list(batches(2, 1, 3, total=12, first=5 * 3)) == whole[15:]


def test_length_is_the_total_or_absent():
    assert len(batches(1, 0, 2, total=10, first=12)) == 20
    with pytest.raises(TypeError):
        len(batches(1, 0, 2))


def test_a_far_step_costs_no_more_than_the_first():
    far = batches(1, 0, 1, first=10**12)
    assert next(iter(far))[0].step == 10**12


@given(sets=st.integers(1, 40), scenes=st.integers(1, 6), world=st.integers(1, 5))
def test_validation_looks_at_every_set_once_in_equal_batches(sets, scenes, world):
    ranks = [list(ValidationBatches(sets, scenes, rank, world)) for rank in range(world)]
    seen = [request.view_set for rank in ranks for batch in rank for request in batch if not request.repeat]
    assert sorted(seen) == list(range(sets))
    assert len({tuple(len(batch) for batch in rank) for rank in ranks}) == 1
    assert [len(rank) for rank in ranks] == [len(ValidationBatches(sets, scenes, 0, world))] * world
