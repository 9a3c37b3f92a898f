"""Every sampling rule against its definition."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from zipmap_pl.datasets.draws.draw import DrawKey, Purpose
from zipmap_pl.datasets.view_sampling.combined import OneOf, Reversed
from zipmap_pl.datasets.view_sampling.groups import grow_group
from zipmap_pl.datasets.view_sampling.order import evenly_spaced, in_time_order
from zipmap_pl.datasets.view_sampling.rule import SceneFrames
from zipmap_pl.datasets.view_sampling.rules.block_shuffled import BlockShuffled
from zipmap_pl.datasets.view_sampling.rules.covisibility_walk import CovisibilityWalk
from zipmap_pl.datasets.view_sampling.rules.covisible_group import CovisibleGroup
from zipmap_pl.datasets.view_sampling.rules.nearby_window import NearbyWindow
from zipmap_pl.datasets.view_sampling.rules.overlap_weighted import OverlapWeighted
from zipmap_pl.datasets.view_sampling.rules.revisits import Revisits
from zipmap_pl.datasets.view_sampling.rules.turntable import Turntable
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet
from zipmap_pl.datasets.view_sampling.rules.video_intervals import VideoIntervals
from zipmap_pl.datasets.view_sampling.rules.video_or_collection import VideoOrCollection
from zipmap_pl.datasets.view_sampling.settings import ONE_OF, make_rule, rule_names
from zipmap_pl.datasets.view_sampling.walks import shuffle_blocks, unused
from zipmap_pl.errors import UserError

RULES = [name for name in rule_names() if name != ONE_OF]
seeds = st.integers(0, 2**32)
walks = st.builds(
    VideoOrCollection,
    max=st.integers(1, 30),
    video=st.sampled_from([0.0, 0.5, 1.0]),
    constant=st.sampled_from([0.0, 0.5, 1.0]),
    block=st.sampled_from([None, 1, 4, 24]),
    start_frames=st.sampled_from([None, 1, 2, 12]),
)


def rng(seed):
    return np.random.default_rng(seed)


def scene_of(neighbours):
    """A scene from {frame: {neighbour: overlap in 0 .. 255}} of every frame, written as the index writes it."""
    width = max(1, *(len(others) for others in neighbours))
    rows, overlaps = np.full((len(neighbours), width), -1, np.int32), np.zeros((len(neighbours), width), np.uint8)
    for frame, others in enumerate(neighbours):
        for place, (other, overlap) in enumerate(sorted(others.items(), key=lambda pair: -pair[1])):
            rows[frame, place], overlaps[frame, place] = other, overlap
    return SceneFrames(len(neighbours), rows, overlaps)


def video(frame_count, reach=8):
    """A scene whose frames overlap with those next to them, the less the further."""
    frames = range(frame_count)
    return scene_of(
        [{o: 250 - 25 * (abs(o - f) - 1) for o in frames if 0 < abs(o - f) <= min(reach, 10)} for f in frames]
    )


def without_overlap(frame_count):
    return SceneFrames(frame_count, np.full((frame_count, 1), -1, np.int32), np.zeros((frame_count, 1), np.uint8))


LONG_VIDEO = video(200)


@st.composite
def scenes(draw, most=40):
    """Any scene: isolated frames, one-way neighbours, islands."""
    count = draw(st.integers(1, most))
    other = st.integers(0, count - 1)
    return scene_of(
        [
            {o: w for o, w in draw(st.dictionaries(other, st.integers(1, 255), max_size=5)).items() if o != frame}
            for frame in range(count)
        ]
    )


def overlaps_of(scene):
    """[n, n] overlap matrix, 0 where the index has none."""
    matrix = np.zeros((scene.frame_count, scene.frame_count))
    for frame in range(scene.frame_count):
        for other, overlap in scene.neighbours(frame):
            matrix[frame, other] = overlap
    return matrix


def share_is(found, expected, draws):
    return abs(found - expected) < 4.5 * math.sqrt(max(expected * (1 - expected), 0.01) / draws)


# Every rule


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=40)
@given(seed=seeds, scene=scenes(), count=st.integers(1, 48))
def test_every_rule_gives_the_right_number_of_frames_of_the_scene(name, seed, scene, count):
    frames = make_rule({"rule": name}, "x").draw(rng(seed), scene, count)
    assert frames.shape == (count,) and frames.dtype == np.int64
    assert frames.min() >= 0 and frames.max() < scene.frame_count


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=40)
@given(seed=seeds, stage=st.integers(0, 2**64 - 1), step=st.integers(0, 10**9), slot=st.integers(0, 10**4))
def test_every_rule_is_a_function_of_seed_stage_step_and_slot(name, seed, stage, step, slot):
    rule, scene = make_rule({"rule": name, "reverse": 0.5}, "x"), LONG_VIDEO

    def views(*key):
        return rule.draw(DrawKey(*key).generator(Purpose.VIEWS), scene, 12).tolist()

    first = views(seed, stage, step, slot)
    assert views(seed, stage, step, slot) == first
    others = [
        views(seed + 1, stage, step, slot),
        views(seed, stage, step + 1, slot),
        views(seed, stage, step, slot + 1),
    ]
    assert any(other != first for other in others)


@pytest.mark.parametrize("name", RULES)
def test_no_rule_costs_more_in_a_longer_scene(name):
    # With a billion frames, anything that goes over all frames would fill the memory.
    rows = np.broadcast_to(np.arange(32, dtype=np.int32), (10**9, 32))
    scene = SceneFrames(10**9, rows, np.broadcast_to(np.full(32, 128, np.uint8), (10**9, 32)))
    frames = make_rule({"rule": name}, "x").draw(rng(0), scene, 48)
    assert frames.shape == (48,)


# Walks forward


@given(rule=walks, seed=seeds, frame_count=st.integers(1, 80), count=st.integers(1, 48))
def test_walks_repeat_frames_only_where_the_start_leaves_too_few(rule, seed, frame_count, count):
    frames = rule.draw(rng(seed), without_overlap(frame_count), count)
    assert frames.shape == (count,) and frames.min() >= 0 and frames.max() < frame_count
    if rule.start_frames is None and frame_count >= count:
        assert len(set(frames.tolist())) == count


@given(seed=seeds, frame_count=st.integers(2, 200), count=st.integers(2, 48), longest=st.integers(1, 30))
def test_videos_are_in_order_with_bounded_steps(seed, frame_count, count, longest):
    frames = VideoIntervals(max=longest).draw(rng(seed), without_overlap(frame_count), count)
    steps = np.diff(frames)
    if frame_count >= count:
        assert (steps > 0).all() and (steps <= longest).all()


@given(seed=seeds, count=st.integers(3, 20), shortest=st.integers(1, 4), more=st.integers(0, 4))
def test_steps_have_a_smallest_and_a_largest_size(seed, count, shortest, more):
    frames = VideoIntervals(shortest, shortest + more).draw(rng(seed), without_overlap(5000), count)
    if frames[0] + (count - 1) * (shortest + more) < 5000:
        assert (np.diff(frames) >= shortest).all() and (np.diff(frames) <= shortest + more).all()


def test_varying_steps_are_uniform():
    scene, rule = without_overlap(100_000), VideoIntervals(max=5, constant=0.0)
    steps = np.concatenate([np.diff(rule.draw(rng(seed), scene, 10)) for seed in range(1000)])
    assert chisquare(np.bincount(steps, minlength=6)[1:]).pvalue > 1e-4


@given(seed=seeds, count=st.integers(3, 20), longest=st.integers(1, 8))
def test_constant_videos_have_one_step(seed, count, longest):
    frames = VideoIntervals(max=longest, constant=1.0).draw(rng(seed), without_overlap(500), count)
    assert len(set(np.diff(frames).tolist())) == 1


def test_steps_are_at_most_twice_what_would_just_fit():
    rule, scene = VideoIntervals(max=30, constant=0.0, start_frames=21), without_overlap(21)
    largest = [np.diff(rule.draw(rng(seed), scene, 10)).max() for seed in range(500)]
    assert max(largest) == 2 * 20 // 9


def test_constant_steps_are_uniform_over_those_that_fit():
    # 10 views from frame 0 of 41 frames: steps up to 4 fit, though max would allow 7.
    rule, scene = VideoIntervals(max=7, constant=1.0, start_frames=41), without_overlap(41)
    steps = [np.diff(rule.draw(rng(seed), scene, 10))[0] for seed in range(2000)]
    assert set(steps) == {1, 2, 3, 4} and chisquare(np.bincount(steps)[1:]).pvalue > 1e-4


@pytest.mark.parametrize(("video_share", "constant_share"), [(0.6, 0.5), (0.8, 0.8), (1.0, 1.0), (0.0, 0.5)])
def test_shares_of_videos_and_of_constant_steps(video_share, constant_share):
    rule, scene, draws = (
        VideoOrCollection(max=6, video=video_share, constant=constant_share),
        without_overlap(5000),
        3000,
    )
    steps = [np.diff(rule.draw(rng(seed), scene, 12)) for seed in range(draws)]
    ordered = [step for step in steps if (step > 0).all()]
    assert share_is(len(ordered) / draws, video_share, draws)
    if ordered:
        assert share_is(np.mean([(step == step[0]).all() for step in ordered]), constant_share, len(ordered))


@given(seed=seeds, block=st.integers(1, 30), count=st.integers(2, 48))
def test_collections_are_shuffled_inside_blocks_only(seed, block, count):
    frames = BlockShuffled(max=4, block=block).draw(rng(seed), without_overlap(20_000), count)
    blocks = [frames[first : first + block] for first in range(0, count, block)]
    if frames.max() < 20_000 - 4:  # the walk did not reach the end
        assert all(before.max() < after.min() for before, after in zip(blocks, blocks[1:], strict=False))
        assert np.diff(np.sort(frames)).max() <= 4


def test_any_frame_of_the_first_block_may_be_the_reference():
    rule, scene = BlockShuffled(max=1, block=4, start_frames=100), without_overlap(100)
    assert {int(rule.draw(rng(seed), scene, 12)[0]) for seed in range(200)} == {0, 1, 2, 3}


@given(rule=walks, seed=seeds, count=st.integers(1, 48))
def test_a_start_that_leaves_just_enough_takes_all_in_order(rule, seed, count):
    exact = VideoOrCollection(rule.min, rule.max, rule.video, rule.constant, rule.block)
    assert exact.draw(rng(seed), without_overlap(count), count).tolist() == list(range(count))


def test_starts_leave_room_for_all_views_or_for_as_many_as_asked():
    scene = without_overlap(30)
    whole = {int(VideoIntervals(max=1).draw(rng(seed), scene, 20)[0]) for seed in range(500)}
    assert whole == set(range(11))
    third = VideoOrCollection(max=1, video=1.0, start_share=1 / 3)
    assert third._room(20) == 6 and third._room(3) == 3 and third._room(2) == 2
    few = VideoIntervals(max=1, constant=0.0, start_frames=24)
    assert {int(few.draw(rng(seed), scene, 6)[0]) for seed in range(300)} == set(range(7))


@given(seed=seeds, frame_count=st.integers(1, 60), data=st.data())
def test_unused_frames(seed, frame_count, data):
    used = np.array(sorted(data.draw(st.sets(st.integers(0, frame_count - 1)))), np.int64)
    count = data.draw(st.integers(0, frame_count - len(used)))
    found = unused(rng(seed), used, frame_count, count).tolist()
    assert len(set(found)) == count
    assert set(found) <= set(range(frame_count)) - set(used.tolist())


def test_unused_frames_are_drawn_alike():
    found = np.concatenate([unused(rng(seed), np.array([1, 2, 5]), 8, 2) for seed in range(2000)])
    counts = np.bincount(found, minlength=8)
    assert counts[[1, 2, 5]].sum() == 0 and chisquare(counts[[0, 3, 4, 6, 7]]).pvalue > 1e-4


def test_turntables_are_permuted_wide_walks():
    rule, scene = Turntable(max=100), without_overlap(5000)
    samples = [rule.draw(rng(seed), scene, 12) for seed in range(300)]
    assert all(np.diff(np.sort(sample)).min() >= 1 and np.diff(np.sort(sample)).max() <= 100 for sample in samples)
    places = [int(np.argmin(sample)) for sample in samples]
    assert set(places) == set(range(12))  # the start may come anywhere


@given(seed=seeds, length=st.integers(1, 60), block=st.one_of(st.none(), st.integers(1, 70)))
def test_block_shuffle_stays_inside_blocks(seed, length, block):
    shuffled = shuffle_blocks(rng(seed), np.arange(length), block)
    for first in range(0, length, block or length):
        here = slice(first, first + (block or length))
        assert sorted(shuffled[here]) == list(np.arange(length)[here])


# The published common sampler


def common_sampler(generator, rule, frame_count, count):
    """It once more, step by step as its description has it (three cases, by the number r of frames after the start)."""
    start = generator.randint(0, frame_count - min(rule.start_frames or count, frame_count))
    r = frame_count - 1 - start
    if r == count - 1:
        return list(range(start, frame_count))
    enough = r > count - 1
    if enough:
        longest, different = min(rule.max, 2 * r // (count - 1)), count
    else:
        start, different = generator.randint(0, start), r
        longest = min(rule.max, (frame_count - 1 - start) // (different - 1))
    steps = [generator.randint(1, longest) for _ in range(different - 1)]
    video = generator.random() < rule.video
    if video and generator.random() < rule.constant:
        fits = min(longest, r // (count - 1)) if enough else longest
        steps = [generator.randint(1, fits)] * (different - 1)
    walk = [start + sum(steps[:place]) for place in range(different)]
    if enough:
        walk = [frame for frame in walk if frame < frame_count]
        walk += generator.sample(sorted({*range(start, frame_count)} - {*walk}), count - len(walk))
    blocks = [walk[first : first + (rule.block or count)] for first in range(0, len(walk), rule.block or count)]
    ordered = sorted(walk) if video else [frame for block in blocks for frame in generator.sample(block, len(block))]
    way = generator.random()
    if enough or way < 0.5 or rule.video == 1:
        return (ordered * count)[:count]
    drawn = generator.choices(walk, k=count)
    return drawn if way < 0.9 else sorted(drawn)


def features(frames):
    """What two samplers are compared by."""
    steps = np.diff(frames)
    return {
        "first": int(frames[0]),
        "last": int(frames[-1]),
        "extent": max(frames) - min(frames),
        "in order": bool((steps > 0).all()),
        "constant": bool((steps == steps[0]).all()),
        "different": len({*frames}),
        "widest gap": int(np.diff(np.sort(frames)).max()),
    }


@pytest.mark.parametrize(
    ("frame_count", "count", "rule"),
    [
        (40, 8, VideoOrCollection(1, 5, 0.8, 0.8, 4)),
        (40, 8, VideoOrCollection(1, 20, 0.6, 0.5, None, 6)),  # starts may leave fewer frames than views
        (12, 10, VideoOrCollection(1, 16, 0.8, 0.5, 3, 4)),
        (12, 10, VideoOrCollection(1, 16, 1.0, 0.5, 3, 4)),
    ],
)
def test_walks_are_those_of_the_published_sampler(frame_count, count, rule):
    generator, twin, draws = rng(0), random.Random(0), 6000
    ours = [features(rule.draw(generator, without_overlap(frame_count), count).tolist()) for _ in range(draws)]
    theirs = [features(common_sampler(twin, rule, frame_count, count)) for _ in range(draws)]
    for name in ours[0]:
        seen = Counter(drawn[name] for drawn in ours + theirs)
        often = [value for value, times in seen.items() if times >= 40]
        table = [[sum(drawn[name] == value for drawn in sample) for value in often] for sample in (ours, theirs)]
        assert len(often) < 2 or chi2_contingency(table).pvalue > 1e-4, name


# Revisits


def test_a_video_that_starts_too_late_goes_the_same_way_again():
    rule = VideoIntervals(start_frames=4)
    samples = [rule.draw(rng(seed), without_overlap(100), 40) for seed in range(2000)]
    repeated = [frames for frames in samples if len(set(frames.tolist())) < 40]
    assert repeated  # some starts lie near the end
    for frames in repeated:
        unique = len(set(frames.tolist()))
        assert unique >= 3
        assert (frames == np.resize(frames[:unique], 40)).all()
        assert (np.diff(frames[:unique]) > 0).all()


def test_revisits_repeat_or_draw_again():
    rule, draws = Revisits(max=3, video=0.5), 4000
    cyclic, in_order = 0, 0
    for seed in range(draws):
        frames = rule.draw_from(rng(seed), 30, 60, start=17)  # 12 frames follow: 12 different ones
        assert len(set(frames.tolist())) <= 12
        again = (frames == np.resize(frames[:12], 60)).all()
        cyclic += again
        in_order += not again and (np.diff(frames) >= 0).all()
    assert share_is(cyclic / draws, 0.5, draws)
    assert share_is(in_order / draws, 0.1, draws)


# Sets


@given(seed=seeds, frame_count=st.integers(1, 60), count=st.integers(1, 60))
def test_unordered_sets_repeat_only_when_they_must(seed, frame_count, count):
    counts = np.bincount(UnorderedSet().draw(rng(seed), without_overlap(frame_count), count), minlength=frame_count)
    assert counts.sum() == count
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("replacement", [False, True])
def test_unordered_sets_draw_every_frame_alike(replacement):
    samples = [UnorderedSet(replacement).draw(rng(seed), without_overlap(8), 3) for seed in range(3000)]
    assert chisquare(np.bincount(np.concatenate(samples), minlength=8)).pvalue > 1e-4
    assert chisquare(np.bincount([sample[0] for sample in samples], minlength=8)).pvalue > 1e-4
    repeated = np.mean([len(set(sample.tolist())) < 3 for sample in samples])
    assert share_is(repeated, 1 - 7 * 6 / 64 if replacement else 0, 3000)


@given(seed=seeds, frame_count=st.integers(1, 2000), count=st.integers(1, 48), reach=st.integers(1, 10))
def test_nearby_windows_stay_near_their_anchor(seed, frame_count, count, reach):
    frames = NearbyWindow(reach).draw(rng(seed), without_overlap(frame_count), count)
    assert abs(frames - frames[0]).max() <= reach * count


def test_nearby_windows_are_drawn_evenly_with_replacement():
    samples = [NearbyWindow(2).draw(rng(seed), without_overlap(1001), 5) for seed in range(6000)]
    offsets = np.concatenate([sample[1:] - sample[0] for sample in samples if 10 <= sample[0] <= 990])
    # half-open, as published: the first frame of the window may come, the one after its last may not
    assert offsets.max() < 10 and chisquare(np.bincount(offsets + 10, minlength=20)).pvalue > 1e-4
    anchors = [sample[0] // 143 for sample in samples]
    assert chisquare(np.bincount(anchors)).pvalue > 1e-4


def test_nearby_windows_reach_the_first_and_the_last_frame_of_a_scene():
    drawn = np.concatenate([NearbyWindow(8).draw(rng(seed), without_overlap(6), 4)[1:] for seed in range(200)])
    assert set(drawn.tolist()) == set(range(6))


def test_evenly_spaced():
    assert evenly_spaced(8, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(1, 3).tolist() == [0, 0, 0]
    assert evenly_spaced(100, 2).tolist() == [0, 99]


# Covisibility


@given(seed=seeds, scene=scenes(), count=st.integers(2, 30), least=st.sampled_from([0.0, 0.2]))
def test_walks_go_from_neighbour_to_neighbour(seed, scene, count, least):
    frames = CovisibilityWalk(least).draw(rng(seed), scene, count).tolist()
    overlaps = overlaps_of(scene) > least
    if not overlaps.any(axis=1)[frames[0]]:
        # All references that were tried see nothing: an unordered set.
        assert len(set(frames)) == min(count, scene.frame_count)
        return
    for place in range(1, count):
        before, now = frames[place - 1], frames[place]
        unvisited = set(np.flatnonzero(overlaps[before])) - set(frames[:place])
        if unvisited:
            assert now in unvisited
        elif overlaps[before].any():
            assert overlaps[before, now]
        else:
            assert now == frames[place - 2]  # a dead end: back where it came from


def test_walks_prefer_large_overlaps():
    star = scene_of([{1: 51 + 10, 2: 51 + 30, 3: 51, 4: 30}, {0: 100}, {0: 100}, {0: 100}, {0: 100}])
    nexts = [frames[1] for seed in range(6000) if (frames := CovisibilityWalk(0.2).draw(rng(seed), star, 2))[0] == 0]
    counts = np.bincount(nexts, minlength=5)[1:]
    assert counts[2:].sum() == 0  # an overlap of exactly 0.2 is none
    assert share_is(counts[1] / len(nexts), 3 / 4, len(nexts))


def test_walks_that_see_too_little_are_given_up():
    # Frames 0 and 1 see only each other; all the others are a video.
    rest = video(100)
    islands = [{1: 200}, {0: 200}] + [{o + 2: round(255 * w) for o, w in rest.neighbours(f)} for f in range(100)]
    for seed in range(500):
        assert len(set(CovisibilityWalk().draw(rng(seed), scene_of(islands), 30).tolist())) >= 6
    pairs = scene_of([{f ^ 1: 200} for f in range(20)])
    assert all(len(set(CovisibilityWalk().draw(rng(seed), pairs, 30).tolist())) == 2 for seed in range(20))


@pytest.mark.parametrize("rule", [CovisibilityWalk(), OverlapWeighted(), CovisibleGroup()])
def test_scenes_without_overlap_give_unordered_sets(rule):
    samples = [rule.draw(rng(seed), without_overlap(50), 10) for seed in range(200)]
    assert all(len(set(sample.tolist())) == 10 for sample in samples)
    assert set(np.concatenate(samples).tolist()) == set(range(50))


@given(scene=scenes(), size=st.integers(1, 50), least=st.sampled_from([0.0, 0.1, 0.5]))
def test_groups_grow_along_the_largest_overlaps(scene, size, least):
    best = overlaps_of(scene)
    np.fill_diagonal(best, 1.0)
    best[best <= least] = 0
    for middle in range(scene.frame_count):  # largest product of all ways
        product = best[:, middle, None] * best[middle]
        best = np.maximum(best, np.where(product > least, product, 0))
    whole = dict(grow_group(scene, 0, scene.frame_count + 1, least))
    assert whole == pytest.approx({frame: best[0, frame] for frame in np.flatnonzero(best[0])})
    group = grow_group(scene, 0, size, least)
    assert len(group) == min(size, len(whole)) and group[0] == (0, 1.0)
    shares = [share for _, share in group]
    assert shares == sorted(shares, reverse=True)
    assert all(least < share <= whole[frame] * (1 + 1e-9) for frame, share in group)
    direct = sorted((share for _, share in scene.neighbours(0) if share > least), reverse=True)
    if size - 1 <= len(direct):
        assert all(share >= known - 1e-12 for share, known in zip(shares[1:], direct, strict=False))


@given(seed=seeds, count=st.integers(2, 40), least=st.sampled_from([0.01, 0.3]), most=st.sampled_from([0.8, 1.0]))
def test_overlap_weighted_sets_keep_their_bounds(seed, count, least, most):
    scene = LONG_VIDEO
    frames = OverlapWeighted(least, most, repeat=0.0).draw(rng(seed), scene, count)
    known = dict(grow_group(scene, int(frames[0]), 201, least))
    assert all(least < known[frame] for frame in frames[1:].tolist())
    assert all(dict(scene.neighbours(int(frames[0]))).get(frame, 0) < most for frame in frames[1:].tolist())
    if least == 0.01:  # enough frames overlap
        assert len(set(frames.tolist())) == count


def test_overlap_weighted_sets_follow_the_overlap_and_repeat_as_often_as_asked():
    star = scene_of([{1: 50, 2: 100, 3: 250}, {}, {}, {}])
    samples = [OverlapWeighted(repeat=0.5).draw(rng(seed), star, 3) for seed in range(4000)]
    assert all(sample[0] == 0 for sample in samples)  # the only frame with neighbours
    assert (
        chisquare(np.bincount([s[1] for s in samples], minlength=4)[1:], np.array([50, 100, 250]) / 400 * 4000).pvalue
        > 1e-4
    )
    twice = sum((np.array([50, 100, 250]) / 400) ** 2)
    assert share_is(np.mean([s[1] == s[2] for s in samples]), 0.5 * twice, 4000)


@given(seed=seeds, count=st.integers(1, 40), size=st.integers(2, 30))
def test_groups_hold_frames_that_see_one_place(seed, count, size):
    frames = CovisibleGroup(frames=size).draw(rng(seed), LONG_VIDEO, count).tolist()
    assert len(set(frames)) <= size
    if count <= size:
        assert len(set(frames)) == count
    assert max(frames) - min(frames) <= 2 * size + 16  # a stretch of the video, not all of it


def test_groups_in_order_with_replacement_and_by_the_number_of_views():
    scene = video(400)
    ordered = [CovisibleGroup(in_order=0.17).draw(rng(seed), scene, 12) for seed in range(2000)]
    assert share_is(np.mean([(np.diff(frames) > 0).all() for frames in ordered]), 0.17, 2000)
    again = [CovisibleGroup(frames=64, replacement=True).draw(rng(seed), scene, 40) for seed in range(100)]
    assert all(len(set(frames.tolist())) < 40 for frames in again)
    spread = [np.ptp(CovisibleGroup(per_view=2.0).draw(rng(seed), scene, 10)) for seed in range(300)]
    assert 10 < np.median(spread) < 45  # 20 to 40 frames around the reference


def test_small_groups_are_drawn_again_or_repeated():
    scene = scene_of([{o: 200 for o in range(5) if o != f} for f in range(5)])
    repeated = [
        (frames == np.resize(frames[:5], 12)).all() and len(set(frames.tolist())) == 5
        for frames in (CovisibleGroup().draw(rng(seed), scene, 12) for seed in range(2000))
    ]
    assert share_is(np.mean(repeated), 0.2, 2000)


def rooms_and_corridor():
    """Frames 0 to 4 see each other; frames 5 to 54 are a video."""
    corridor = video(50)
    rooms = [{other: 200 for other in range(5) if other != frame} for frame in range(5)]
    return scene_of(rooms + [{o + 5: round(255 * w) for o, w in corridor.neighbours(f)} for f in range(50)])


def test_groups_of_too_few_frames_are_passed_over():
    scene = rooms_and_corridor()
    groups = [set(CovisibleGroup(least=24).draw(rng(seed), scene, 48).tolist()) for seed in range(300)]
    assert all(min(group) >= 5 for group in groups)
    small = [set(CovisibleGroup().draw(rng(seed), scene, 48).tolist()) for seed in range(300)]
    assert share_is(np.mean([group <= set(range(5)) for group in small]), 5 / 55, 300)  # without `least` they come


def test_the_largest_group_will_do_where_none_has_enough_frames():
    scene = scene_of([{o: 200 for o in range(5) if o != f} for f in range(5)] + [{} for _ in range(40)])
    groups = [CovisibleGroup(least=24).draw(rng(seed), scene, 12).tolist() for seed in range(50)]
    assert all(set(group) <= set(range(5)) for group in groups)


def test_a_group_of_few_views_is_taken_from_a_place_that_many_frames_see():
    scene = rooms_and_corridor()
    samples = [CovisibleGroup(per_view=2.0, least=24).draw(rng(seed), scene, 2) for seed in range(200)]
    assert all(sample.min() >= 5 and np.ptp(sample) <= 8 for sample in samples)  # among the 4 to 8 best of it


def test_groups_by_overlap_fix_no_view():
    star = scene_of([{1: 51, 2: 102, 3: 204}, {}, {}, {}])
    rule = CovisibleGroup(least=4, by_overlap=True, replacement=True)
    samples = np.array([rule.draw(rng(seed), star, 3) for seed in range(4000)])
    shares = np.array([255, 51, 102, 204]) / 612  # the reference overlaps with itself by 1
    for place in range(3):  # the first view is drawn as all the others are
        assert chisquare(np.bincount(samples[:, place], minlength=4), shares * 4000).pvalue > 1e-4
    assert (samples != 0).all(axis=1).any()  # the reference need not be there


def test_references_with_too_few_others_are_tried_again_up_to_a_hundred_times():
    # One frame of 40 overlaps with enough others. Published: a reference with fewer is drawn anew.
    others = {o: 100 + o for o in range(1, 20)}
    scene = scene_of([others] + [{0: 100} for _ in range(1, 40)])
    firsts = [int(OverlapWeighted(repeat=1.0).draw(rng(seed), scene, 12)[0]) for seed in range(200)]
    assert firsts.count(0) > 170


def test_candidates_are_neighbours_of_the_index_where_it_has_room_for_more():
    scene = scene_of([{1: 200}, {2: 200, 0: 200}, {1: 200, 3: 200}, {2: 200}])  # room for two neighbours each
    for seed in range(100):
        frames = OverlapWeighted(repeat=1.0).draw(rng(seed), scene, 6).tolist()
        if frames[0] in (0, 3):  # 3 is no neighbour of 0, though one of a neighbour's neighbour
            assert set(frames[1:]) <= {abs(frames[0] - 1)}


# Combined


def test_reversal():
    scene, rule = without_overlap(100), Reversed(VideoIntervals(), 0.3)
    steps = [np.diff(rule.draw(rng(seed), scene, 5)) for seed in range(3000)]
    assert all((step > 0).all() or (step < 0).all() for step in steps)
    assert share_is(np.mean([step[0] < 0 for step in steps]), 0.3, 3000)


def test_one_of_several_rules_by_share():
    rule = OneOf((VideoIntervals(max=1), UnorderedSet()), (3.0, 1.0))
    steps = [np.diff(rule.draw(rng(seed), without_overlap(1000), 6)) for seed in range(3000)]
    assert share_is(np.mean([(step == 1).all() for step in steps]), 0.75, 3000)


@given(frames=st.lists(st.integers(0, 50), min_size=1, max_size=20, unique=True))
def test_time_order(frames):
    ordered = in_time_order(np.array(frames))
    backwards = all(later < earlier for earlier, later in zip(frames, frames[1:], strict=False))
    assert ordered.tolist() == (frames if backwards else sorted(frames))


@given(walk=st.sets(st.integers(0, 50), min_size=1, max_size=8), count=st.integers(1, 30), backwards=st.booleans())
def test_a_walk_that_is_gone_through_again_is_in_the_order_of_time(walk, count, backwards):
    frames = np.resize(sorted(walk, reverse=backwards), max(count, len(walk)))
    assert in_time_order(frames).tolist() == frames.tolist()
    shuffled = [3, 1, 2, 3, 1, 2]
    assert in_time_order(np.array(shuffled)).tolist() == sorted(shuffled)


# Settings


def test_rules_by_name():
    assert make_rule({}, "x") == VideoOrCollection()
    assert make_rule({"rule": "video_intervals", "min": 1, "max": 8}, "x") == VideoIntervals(1, 8)
    assert make_rule({"max": 8, "reverse": 0.5}, "x") == Reversed(VideoOrCollection(max=8), 0.5)
    assert make_rule({"max": 8}, "x", start_frames=24) == VideoOrCollection(max=8, start_frames=24)
    assert make_rule({"rule": "unordered"}, "x", start_frames=24) == UnorderedSet()
    choices = {"b": {"share": 0.4, "rule": "unordered"}, "a": {"share": 0.6, "max": 3}}
    both = OneOf((VideoOrCollection(max=3), UnorderedSet()), (0.6, 0.4))
    assert make_rule({"rule": "one_of", "choices": choices}, "x") == both


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "vidio"}, "x: rule is 'vidio', expected one of .*block_shuffled, .*covisibility_walk"),
        ({"maks": 3}, "x: rule video_or_collection: no key 'maks', expected min, max"),
        ({"rule": "turntable", "video": 0.5}, "x: rule turntable: no key 'video', expected max"),
        ({"max": "8"}, "max is '8', expected int"),
        ({"max": 2.5}, "max is 2.5, expected int"),
        ({"block": "all"}, "block is 'all', expected int or null"),
        ({"rule": "unordered", "replacement": 1}, "replacement is 1, expected bool"),
        ({"max": 0}, r"\[min, max\] is \[1, 0\], expected 1 <= min <= max"),
        ({"rule": "video_intervals", "min": 5, "max": 4}, r"\[min, max\] is \[5, 4\]"),
        ({"video": 1.5}, "video is 1.5, expected a number from 0 to 1"),
        ({"reverse": 2}, "reverse is 2, expected a number from 0 to 1"),
        ({"rule": "covisibility_walk", "min_overlap": 1.0}, "min_overlap is 1.0"),
        ({"rule": "overlap_weighted", "repeat": True}, "repeat is True, expected float"),
        ({"rule": "one_of"}, "choices is None, expected blocks of rules by name"),
        ({"rule": "one_of", "choices": {"a": 3}}, "choices.a is 3, expected a block of a rule"),
        ({"rule": "one_of", "choices": {"a": {"share": 0.0}}}, "share is"),
        ({"rule": "one_of", "choices": {"a": {"max": 0}}}, r"x.choices.a: rule video_or_collection: \[min, max\]"),
    ],
)
def test_mistaken_rules_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        make_rule(settings, "x")
    assert "\n" not in str(caught.value)
