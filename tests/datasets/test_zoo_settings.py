"""The published mixtures in conf/data: how many datasets, which weights, which rules."""

from functools import cache
from pathlib import Path

import pytest

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.view_sampling.combined import OneOf, Reversed
from zipmap_pl.datasets.view_sampling.rules.covisibility_walk import CovisibilityWalk
from zipmap_pl.datasets.view_sampling.rules.covisible_group import CovisibleGroup
from zipmap_pl.datasets.view_sampling.rules.nearby_window import NearbyWindow
from zipmap_pl.datasets.view_sampling.rules.overlap_weighted import OverlapWeighted
from zipmap_pl.datasets.view_sampling.rules.turntable import Turntable
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet
from zipmap_pl.datasets.view_sampling.rules.video_intervals import VideoIntervals
from zipmap_pl.datasets.view_sampling.rules.video_or_collection import VideoOrCollection
from zipmap_pl.datasets.view_sampling.settings import rule_names
from zipmap_pl.errors import UserError
from zipmap_pl.training.config import compose

ZOO = Path(__file__).resolve().parents[2] / "conf" / "data" / "zoo"
DYNAMIC = {"bedlam", "dynamic_replica", "kubric", "omniworld", "pointodyssey", "spring"}
WITHOUT_NORMALS = {"co3dv2", "dl3dv", "mapfree", "megadepth", "omniobject3d", "waymo", "wildrgbd"}


@cache
def data(name, *overrides):
    return compose([f"data={name}", *overrides]).data


def walks_of(rule):
    """The video-like rules inside a rule."""
    if isinstance(rule, Reversed):
        return walks_of(rule.rule)
    if isinstance(rule, OneOf):
        return [walk for inner in rule.rules for walk in walks_of(inner)]
    return [rule] if type(rule) is VideoOrCollection else []  # presets of it are no choice of a stage's


@pytest.mark.parametrize(
    ("name", "datasets", "weight", "dynamic_share"),
    [
        ("static", 23, 18.00, 0),
        ("dynamic", 29, 28.14, 0.396),
        ("affine_invariant", 29, 22.28, 0.237),
        ("state_query", 14, 10.85, 0),
        ("streaming_12", 29, 23.28, 0.270),
        ("streaming_24", 29, 23.28, 0.270),
    ],
)
def test_mixtures_have_the_published_sums(name, datasets, weight, dynamic_share):
    train = data(name).train
    assert len(train) == datasets
    total = sum(dataset.weight for dataset in train.values())
    assert total == pytest.approx(weight)
    dynamic = sum(train[slug].weight for slug in DYNAMIC & train.keys())
    assert dynamic / total == pytest.approx(dynamic_share, abs=5e-4)


def test_every_published_dataset_is_in_the_dynamic_mixture():
    train = data("dynamic", "data.shards=/zoo").train
    assert set(train) <= {path.stem for path in ZOO.glob("*.yaml")} and len(train) == 29  # others may stand beside them
    assert {slug for slug, dataset in train.items() if not dataset.normals} == WITHOUT_NORMALS
    assert all(dataset.path == f"/zoo/{slug}" and dataset.min_frames == 24 for slug, dataset in train.items())
    reversing = {slug for slug, dataset in train.items() if isinstance(dataset.rule(), Reversed)}
    assert reversing == DYNAMIC - {"spring"}


def test_views_and_caps_of_the_stages():
    stages = {name: data(name) for name in ("static", "state_query", "streaming_12", "streaming_24")}
    published = {name: (stage.views, stage.images_per_gpu, stage.min_frames) for name, stage in stages.items()}
    assert published == {
        "static": ([2, 48], 48, 24),
        "state_query": ([5, 44], 44, 24),
        "streaming_12": ([12, 12], 36, 12),
        "streaming_24": ([24, 24], 48, 24),
    }
    assert stages["state_query"].augmentation.colour == "none" and stages["static"].augmentation.colour == "jitter"
    assert stages["streaming_24"].train["tartanair"].rule().start_frames == 24
    assert stages["streaming_12"].train["tartanair"].rule().start_frames == 12


def test_streaming_asks_for_videos():
    train = data("streaming_12").train
    drawn = {
        slug: d.rules_of().values() if "*" in d.sampling_of else [d.rule(), *d.rules_of().values()]
        for slug, d in train.items()
    }
    shuffling = {slug for slug, rules in drawn.items() for rule in rules for walk in walks_of(rule) if walk.video < 1}
    assert shuffling == {"unreal4k"}  # as published
    assert train["unreal4k"].rules_of() == {"*": data("dynamic").train["unreal4k"].rule()}


def test_one_setting_changes_the_rules_of_all_datasets():
    """Each rule that has the field, choices included; what presets fix stays, and `sampling_of` counts more."""
    before, after = data("dynamic").train, data("dynamic", "+data.sampling_of_all={max: 5, reverse: 0.25}").train
    assert after["tartanair"].sampling == {**before["tartanair"].sampling, "max": 5, "reverse": 0.25}
    choices = after["arkitscenes"].sampling["choices"]
    assert choices["video"]["max"] == 5 and choices["group"] == before["arkitscenes"].sampling["choices"]["group"]
    assert after["omniobject3d"].rule().rule == Turntable(5, 24)
    assert after["co3dv2"].rule() == Reversed(before["co3dv2"].rule(), 0.25)
    assert after["waymo"].rules_of()["*/side_left"].rule.max == 3
    unordered = data("dynamic", "+data.sampling_of_all={rule: unordered}").train
    assert {dataset.rule() for dataset in unordered.values()} == {UnorderedSet()}


def test_streaming_leaves_unordered_samples_as_they_are_drawn():
    assert not data("streaming_12").time_order and not data("streaming_24").time_order  # as published


def test_scenes_and_groups_of_the_first_streaming_run_may_be_half_as_long():
    def frames(name):
        train = data(name).train
        rules = [train[slug].rule() for slug in ("arkitscenes", "scannetpp", "mapfree", "megadepth")]
        groups = [getattr(rule, "rules", [rule])[0].least for rule in rules]
        return {dataset.min_frames for slug, dataset in train.items() if slug != "co3dv2"}, groups

    assert frames("streaming_12") == ({12}, [12, 12, 48, 64])
    assert frames("streaming_24") == frames("dynamic") == ({24}, [24, 24, 48, 64])
    assert data("streaming_12").train["co3dv2"].min_frames == 24  # its loader is given no number, and has 24


def test_state_queries_ask_for_slow_videos():
    train = data("state_query").train
    assert all(walk.video == 1 for dataset in train.values() for walk in walks_of(dataset.rule()))
    longest = {slug: walk.max for slug, dataset in train.items() for walk in walks_of(dataset.rule())}
    assert longest == {
        "aria_ase": 5,
        "arkitscenes": 3,
        "dl3dv": 10,
        "gta_sfm": 1,
        "hypersim": 2,
        "mapfree": 15,
        "mvs_synth": 1,
        "scannet": 15,
        "scannetpp": 2,
        "tartanair": 8,
        "tartanground": 8,
        "wildrgbd": 25,
    }


PUBLISHED = """
aria_ase         1.6  1.6  1.6  1.6  1.6   10 0.6 0.5 24  by_starts -  -   30
arkitscenes      1.2  1.2  1.2  1.0  1.2   8  0.8 0.5 24  by_frames 98 -   -
blendedmvs       0.4  0.4  0.4  -    0.4   -  -   -   -   by_frames 97 -   -
co3dv2           1.8  1.6  1.6  1.6  1.6   -  -   -   -   uniform   98 -   -
dl3dv            2.0  2.0  2.0  1.8  2.0   20 0.8 0.5 25  by_starts 90 -   -
gta_sfm          0.15 0.15 0.15 0.15 0.15  4  0.6 0.5 24  uniform   99 -   1000
hypersim         0.4  0.4  0.4  0.4  0.4   4  0.5 0.5 24  uniform   99 -   -
mapfree          0.4  0.4  0.4  0.4  0.4   30 0.8 0.5 24  by_frames 90 -   400
matrixcity       0.8  0.8  0.8  -    0.8   3  0.8 0.5 24  by_starts 99 -   1000
megadepth        0.2  0.2  0.2  -    0.2   -  -   -   -   by_frames 95 -   -
midair           0.8  0.8  0.8  -    0.8   20 0.8 0.8 24  by_starts 98 0.1 200
matterport3d     0.8  0.8  0.8  -    0.8   -  -   -   -   by_frames 99 -   20
mvs_synth        0.1  0.1  0.1  0.1  0.1   4  0.6 0.5 24  uniform   98 -   1000
omniobject3d     0.6  0.6  0.6  0.6  0.6   -  -   -   -   by_starts 99 -   10
scannet          0.9  0.8  0.8  0.6  0.8   30 0.6 0.6 24  by_starts 98 -   -
scannetpp        0.3  0.3  0.3  0.3  0.3   3  0.8 0.5 24  by_frames 98 -   -
scenenet_rgbd    1.2  1.2  1.2  -    1.2   6  0.6 0.5 24  uniform   99 -   -
tartanair        0.4  0.4  0.4  0.4  0.4   20 0.8 0.8 24  by_starts 99 -   80
tartanground     1.2  1.2  1.2  1.2  1.2   20 0.8 0.8 24  by_starts 99 0.1 80
unreal4k         0.1  0.1  0.1  -    0.1   2  0.8 0.5 24  uniform   98 -   200
vkitti2          0.25 0.25 0.25 -    0.25  -  -   -   -   uniform   -  -   80
waymo            1.0  1.0  1.0  -    1.0   6  0.9 0.9 24  by_starts 98 -   80
wildrgbd         1.4  0.7  0.7  0.7  0.7   25 0.5 0.5 -   by_starts 90 -   2
bedlam           -    1.2  0.6  -    0.6   4  0.8 0.8 24  uniform   -  -   200
dynamic_replica  -    1.2  0.6  -    0.6   16 0.8 0.8 24  uniform   -  -   -
kubric           -    3.0  1.2  -    1.2   8  0.8 0.5 24  uniform   99 -   30
omniworld        -    5.0  2.5  -    3.5   8  0.8 0.8 24  by_frames 95 -   -
pointodyssey     -    0.7  0.35 -    0.35  4  0.8 0.8 24  uniform   -  -   1000
spring           -    0.04 0.03 -    0.03  -  -   -   -   uniform   -  -   -
"""  # weight in five mixtures; longest step, share of videos, of constant steps, block; scenes; percentiles, largest depth.
# OmniWorld has one percentile for two: 96 % of the known pixels, and of the pixels that are left 99 %.
MIXTURES = ("static", "dynamic", "affine_invariant", "state_query", "streaming_12")


def numbers(texts):
    return tuple(None if text == "-" else float(text) for text in texts)


@pytest.mark.parametrize("line", PUBLISHED.strip().splitlines(), ids=lambda line: line.split()[0])
def test_each_dataset_is_as_published(line):
    slug, *columns = line.split()
    for mixture, weight in zip(MIXTURES, columns[:5], strict=True):
        found = data(mixture).train.get(slug)
        assert (found.weight if found else None) == numbers([weight])[0], mixture
    dataset = data("dynamic").train[slug]
    walks = [(walk.max, walk.video, walk.constant, walk.block) for walk in walks_of(dataset.rule())]
    assert (walks or [(None,) * 4]) == [numbers(columns[5:9])]
    assert dataset.scenes == columns[9]
    limits = (dataset.depth_percentile, dataset.min_depth_percentile, dataset.max_depth)
    assert limits == numbers(columns[10:])


def test_rules_that_are_no_walk_are_as_published():
    train = data("dynamic").train
    group = ("arkitscenes", "mapfree", "scannetpp")
    rules = {slug: dataset.rule() for slug, dataset in train.items() if slug in group or not walks_of(dataset.rule())}
    groups = {slug: rules.pop(slug).rules[0] for slug in group}  # by name: "group" before "video"
    assert rules == {
        "blendedmvs": CovisibilityWalk(0.2),
        "co3dv2": UnorderedSet(replacement=True),
        "matterport3d": OverlapWeighted(0.01, repeat=0.5),
        "megadepth": CovisibleGroup(64, least=64, replacement=True),
        "omniobject3d": Turntable(100, 24),
        "spring": VideoIntervals(1, 16, 1.0),
        "vkitti2": NearbyWindow(8),
    }
    assert train["scannetpp"].rule().rules[1].other_stream and not train["mapfree"].rule().rules[1].other_stream
    assert groups == {
        "arkitscenes": CovisibleGroup(least=24),
        "mapfree": CovisibleGroup(128, least=48, by_overlap=True, replacement=True),
        "scannetpp": CovisibleGroup(per_view=2.0, least=24, in_order=0.1667),
    }
    assert {slug: train[slug].rule().shares for slug in group} == {
        "arkitscenes": (0.5, 0.5),
        "mapfree": (0.4, 0.6),
        "scannetpp": (0.3, 0.7),
    }


def test_starts_of_mapfree_leave_a_third_of_the_views():
    (walk,) = walks_of(data("dynamic").train["mapfree"].rule())
    assert [walk._room(views) for views in range(3, 49)] == [max(views // 3, 3) for views in range(3, 49)]


def test_what_some_scenes_and_stages_have_otherwise():
    train = data("static").train
    assert train["tartanair"].rule() == VideoOrCollection(1, 20, 0.8, 0.8, 24, 24)
    assert train["hypersim"].rule() == VideoOrCollection(1, 4, 0.5, 0.5, 24, None)
    assert train["waymo"].rules_of() == {"*/side_left": VideoOrCollection(1, 3, 0.9, 0.9, 24, 24)}
    assert data("streaming_24").train["waymo"].rules_of()["*/side_left"].video == 1
    assert {slug: dataset.object_only for slug, dataset in train.items() if dataset.object_only} == {"wildrgbd": 0.1}
    city = train["matrixcity"]
    assert (
        city.max_depth_in("small_city/street/train/road_down") == 200
        and city.max_depth_in("small_city/aerial/x") == 1000
    )


def test_one_word_adds_a_dataset_and_a_mistake_is_one_line():
    assert data("static", "+data.also.kitchen=shards/kitchen").train["kitchen"].path == "shards/kitchen"
    for override in ("data.train.tartanair.sampling.max=0", "+data.train.tartanair.sampling.maks=3"):
        with pytest.raises(UserError, match="data of shards/tartanair: sampling: rule video_or_collection: ") as caught:
            data("static", override)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"data of waymo: sampling_of \*/left: rule video_or_collection: max is 'soon'"):
        DatasetConfig("waymo", sampling_of={"*/left": {"max": "soon"}})


def test_the_page_names_every_rule_and_every_mixture():
    page = (ZOO.parents[2] / "docs" / "mixtures.md").read_text()
    mixtures = {path.stem for path in ZOO.parent.glob("*.yaml")} - {"demo", "own", "real_rgbd"}
    assert [name for name in (*rule_names(), *mixtures) if f"`{name}`" not in page and f"={name}" not in page] == []
