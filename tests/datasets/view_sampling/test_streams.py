"""Videos stay in one stream of a scene; groups and walks mix them; with one stream nothing is drawn otherwise than before."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.datasets.view_sampling.rule import SceneFrames
from zipmap_pl.datasets.view_sampling.rules.covisible_group import CovisibleGroup
from zipmap_pl.datasets.view_sampling.rules.nearby_window import NearbyWindow
from zipmap_pl.datasets.view_sampling.rules.video_or_collection import VideoOrCollection
from zipmap_pl.datasets.view_sampling.settings import ONE_OF, make_rule, rule_names

RULES = [name for name in rule_names() if name != ONE_OF]
VIDEOS = ["block_shuffled", "nearby_window", "revisits", "turntable", "video_intervals", "video_or_collection"]


def scene(*lengths: int, streams: bool = True) -> SceneFrames:
    """Streams of so many frames, each of which sees the same as those next to it and as its like in the other streams."""
    total, reach = sum(lengths), 3
    numbers = np.repeat(np.arange(len(lengths)), lengths).astype(np.uint8)
    frames = np.arange(total)[:, None] + np.array([step for k in range(1, reach + 1) for step in (-k, k)])
    neighbours = np.concatenate([frames, np.random.default_rng(0).integers(total, size=(total, 4))], axis=1)
    neighbours[(neighbours < 0) | (neighbours >= total) | (neighbours == np.arange(total)[:, None])] = -1
    return SceneFrames(total, neighbours, np.full(neighbours.shape, 200, np.uint8), numbers if streams else None)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", VIDEOS)
@given(
    seed=st.integers(0, 2**32),
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    count=st.integers(1, 48),
)
def test_videos_stay_in_one_stream(name: str, seed: int, lengths: list[int], count: int) -> None:
    several = scene(*lengths)
    frames = make_rule({"rule": name}, "x").draw(rng(seed), several, count)
    assert frames.shape == (count,) and frames.dtype == np.int64
    assert several.streams is not None and len(set(several.streams[frames].tolist())) == 1


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("lengths", [(1,), (7,), (60,)])
def test_one_stream_is_drawn_from_as_if_there_were_no_streams(name: str, lengths: tuple[int, ...]) -> None:
    rule = make_rule({"rule": name}, "x")
    for seed in range(40):
        with_streams, without = rng(seed), rng(seed)
        drawn = rule.draw(with_streams, scene(*lengths), 12)
        assert drawn.tolist() == rule.draw(without, scene(*lengths, streams=False), 12).tolist()
        assert with_streams.bit_generator.state == without.bit_generator.state


@pytest.mark.parametrize("name", sorted({*RULES} - {*VIDEOS}))
def test_groups_walks_and_sets_mix_streams(name: str) -> None:
    rule, several = make_rule({"rule": name}, "x"), scene(40, 40)
    assert several.streams is not None
    mixed = [len(set(several.streams[rule.draw(rng(seed), several, 12)].tolist())) for seed in range(50)]
    assert np.mean(np.array(mixed) == 2) > 0.5
    for seed in range(10):
        assert (rule.draw(rng(seed), several, 12) == rule.draw(rng(seed), scene(40, 40, streams=False), 12)).all()


@pytest.mark.parametrize(("other", "share"), [(False, 0.75), (True, 0.25)])
def test_a_stream_is_drawn_by_its_frames_or_as_the_other_one(other: bool, share: float) -> None:
    rule, several = VideoOrCollection(max=2, other_stream=other), scene(300, 100)
    assert several.streams is not None
    first = Counter(int(several.streams[rule.draw(rng(seed), several, 8)[0]]) for seed in range(2000))[0]
    assert abs(first / 2000 - share) < 0.05


def test_of_three_streams_another_one_is_never_the_frames_own() -> None:
    several = scene(10, 20, 30)
    drawn = Counter(several.draw_stream(rng(seed), other=True) for seed in range(3000))
    assert drawn.keys() == {range(10), range(10, 30), range(30, 60)}
    # P(stream) = sum over own streams of P(own) times its share of the rest.
    expected = 1 / 3 * (10 / 40) + 1 / 2 * (10 / 30)
    assert abs(drawn[range(10)] / 3000 - expected) < 0.04


def test_every_start_of_a_stream_is_reached() -> None:
    several = scene(12, 9)
    starts = {int(VideoOrCollection(max=1, video=1.0).draw(rng(seed), several, 6)[0]) for seed in range(800)}
    assert starts == {*range(7), *range(12, 16)}


def test_a_window_ends_where_its_stream_does() -> None:
    several = scene(30, 30)
    for seed in range(200):
        frames = NearbyWindow(8).draw(rng(seed), several, 6)
        assert (frames < 30).all() or (frames >= 30).all()


def test_a_group_around_a_frame_holds_the_other_stream() -> None:
    several = scene(50, 50)
    frames = CovisibleGroup(replacement=True).draw(rng(1), several, 40)
    assert (frames < 50).any() and (frames >= 50).any()
