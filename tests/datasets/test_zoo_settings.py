"""The published mixtures in conf/data: how many datasets, which weights, which rules."""

from functools import cache
from pathlib import Path

import pytest

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.view_sampling.combined import OneOf, Reversed
from zipmap_pl.datasets.view_sampling.intervals import VideoIntervals, VideoOrCollection
from zipmap_pl.datasets.view_sampling.settings import ONE_OF, RULES
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
    return [rule] if isinstance(rule, VideoOrCollection) else []


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
    shuffling = {slug for slug, d in data("streaming_12").train.items() for w in walks_of(d.rule()) if w.video < 1}
    assert shuffling == {"unreal4k"}  # as published


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


def test_some_datasets_as_published():
    train = data("static").train
    tartanair, hypersim, scannet, dl3dv = (train[slug] for slug in ("tartanair", "hypersim", "scannet", "dl3dv"))
    assert tartanair.rule() == VideoOrCollection(1, 20, 0.8, 0.8, 24, 24)
    assert (tartanair.weight, tartanair.depth_percentile, tartanair.max_depth) == (0.4, 99.0, 80.0)
    assert hypersim.rule() == VideoOrCollection(1, 4, 0.5, 0.5, 24, None)
    assert (hypersim.weight, hypersim.depth_percentile, hypersim.max_depth) == (0.4, 99.0, None)
    assert scannet.rule() == VideoOrCollection(1, 30, 0.6, 0.6, 24, 24)
    assert (scannet.weight, scannet.depth_percentile) == (0.9, 98.0)
    assert dl3dv.rule() == VideoOrCollection(1, 20, 0.8, 0.5, 25, 24)
    assert (dl3dv.weight, dl3dv.depth_percentile, dl3dv.normals) == (2.0, 90.0, False)
    assert data("dynamic").train["spring"].rule() == VideoIntervals(1, 16, 1.0)
    waymo = train["waymo"]
    assert waymo.rule() == VideoOrCollection(1, 6, 0.9, 0.9, 24, 24)
    assert waymo.rules_of() == {"*/side_left": VideoOrCollection(1, 3, 0.9, 0.9, 24, 24)}
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
    assert [name for name in (*RULES, ONE_OF, *mixtures) if f"`{name}`" not in page and f"={name}" not in page] == []
