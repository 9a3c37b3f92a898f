import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.datasets.view_sampling import Intervals, Reversing, UnorderedSet, evenly_spaced, shuffle_blocks

seeds = st.integers(0, 2**32)
rules = st.builds(
    Intervals,
    max_interval=st.integers(1, 30),
    video_probability=st.sampled_from([0.0, 0.5, 1.0]),
    fixed_interval_probability=st.sampled_from([0.0, 0.5, 1.0]),
    block_shuffle=st.sampled_from([None, 1, 4, 24]),
    frames_after_start=st.sampled_from([None, 1, 2, 12]),
)


def rng(seed):
    return np.random.default_rng(seed)


@given(rule=rules, seed=seeds, frame_count=st.integers(1, 80), views=st.integers(1, 48))
def test_intervals_give_the_right_number_of_frames_of_the_scene(rule, seed, frame_count, views):
    positions = rule.sample(rng(seed), frame_count, views)
    assert positions.shape == (views,)
    assert positions.dtype == np.int64
    assert positions.min() >= 0 and positions.max() < frame_count
    if rule.frames_after_start is None and frame_count >= views:
        assert len(set(positions.tolist())) == views


@given(seed=seeds, frame_count=st.integers(2, 200), views=st.integers(2, 48))
def test_videos_are_in_order(seed, frame_count, views):
    positions = Intervals(video_probability=1.0).sample(rng(seed), frame_count, views)
    if frame_count >= views:
        assert (np.diff(positions) > 0).all()


@given(seed=seeds, views=st.integers(3, 20), max_interval=st.integers(1, 8))
def test_fixed_interval_videos_have_one_step(seed, views, max_interval):
    rule = Intervals(max_interval, video_probability=1.0, fixed_interval_probability=1.0)
    positions = rule.sample(rng(seed), 500, views)
    if positions[0] + (views - 1) * max_interval < 500:
        assert len(set(np.diff(positions).tolist())) == 1


def test_steps_are_bounded_by_the_longest_interval():
    rule = Intervals(max_interval=5, video_probability=1.0, fixed_interval_probability=0.0)
    steps = np.concatenate([np.diff(rule.sample(rng(seed), 100_000, 10)) for seed in range(500)])
    assert set(steps.tolist()) == {1, 2, 3, 4, 5}


def test_share_of_videos():
    rule = Intervals(video_probability=0.6, block_shuffle=None)
    ordered = [(np.diff(rule.sample(rng(seed), 1000, 12)) > 0).all() for seed in range(4000)]
    assert abs(np.mean(ordered) - 0.6) < 4 * np.sqrt(0.24 / 4000)


def test_short_rest_is_revisited():
    rule = Intervals(video_probability=1.0, frames_after_start=4)
    samples = [rule.sample(rng(seed), 100, 40) for seed in range(3000)]
    repeated = [positions for positions in samples if len(set(positions.tolist())) < 40]
    assert repeated  # some starts lie near the end
    for positions in repeated:
        unique = len(set(positions.tolist()))
        assert unique >= 3
        assert (positions == np.resize(positions[:unique], 40)).all()  # the same walk again and again
        assert (np.diff(positions[:unique]) > 0).all()


def test_a_complete_start_leaves_room_for_all_views():
    starts = [Intervals(max_interval=1, video_probability=1.0).sample(rng(seed), 30, 20)[0] for seed in range(500)]
    assert set(starts) == set(range(11))


@given(seed=seeds, length=st.integers(1, 60), block=st.one_of(st.none(), st.integers(1, 70)))
def test_block_shuffle_stays_inside_blocks(seed, length, block):
    shuffled = shuffle_blocks(rng(seed), np.arange(length), block)
    for first in range(0, length, block or length):
        here = slice(first, first + (block or length))
        assert sorted(shuffled[here]) == list(np.arange(length)[here])


@given(seed=seeds, frame_count=st.integers(1, 60), views=st.integers(1, 60))
def test_unordered_sets_repeat_only_when_they_must(seed, frame_count, views):
    counts = np.bincount(UnorderedSet().sample(rng(seed), frame_count, views), minlength=frame_count)
    assert counts.sum() == views
    assert counts.max() - counts.min() <= 1


def test_unordered_sets_draw_every_frame_alike():
    counts = sum(np.bincount(UnorderedSet().sample(rng(seed), 8, 3), minlength=8) for seed in range(4000))
    firsts = np.bincount([UnorderedSet().sample(rng(seed), 8, 3)[0] for seed in range(4000)], minlength=8)
    assert abs(counts / 4000 - 3 / 8).max() < 0.035
    assert abs(firsts / 4000 - 1 / 8).max() < 0.025


def test_reversal():
    video = Intervals(video_probability=1.0)
    turned = [Reversing(video, 0.5).sample(rng(seed), 100, 5) for seed in range(2000)]
    falling = [(np.diff(positions) < 0).all() for positions in turned]
    rising = [(np.diff(positions) > 0).all() for positions in turned]
    assert all(up or down for up, down in zip(rising, falling, strict=True))
    assert abs(np.mean(falling) - 0.5) < 0.05


def test_evenly_spaced():
    assert evenly_spaced(8, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(1, 3).tolist() == [0, 0, 0]
    assert evenly_spaced(100, 2).tolist() == [0, 99]
