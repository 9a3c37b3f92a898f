"""What is drawn, counted over many draws; and the smallest and most uneven data that somebody may have."""

import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stamp_batches import stamp_config

from zipmap_pl.datasets.config import DatasetConfig, ValidationConfig
from zipmap_pl.datasets.data_module import ZooDataModule, open_dataset
from zipmap_pl.datasets.draws.draw import DrawKey, Purpose, ShapeRanges, stage_number
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.draws.step_batches import TrainBatches, ValidationBatches
from zipmap_pl.datasets.loading.mixture import Mixture
from zipmap_pl.datasets.loading.samples import TrainSamples
from zipmap_pl.datasets.view_sampling.settings import ONE_OF, rule_names
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # this machine has fewer processors than workers


def test_each_dataset_comes_as_often_as_its_weight_says(stamps):
    weights = np.array([16.0, 8.0, 4.0, 2.0, 1.0, 0.25])
    mixture = Mixture([open_dataset(DatasetConfig(str(stamps), weight=weight)) for weight in weights])
    draws, stage = 100_000, stage_number("static")
    keys = (DrawKey(42, stage, draw // 24, draw % 24) for draw in range(draws))
    counts = np.bincount([mixture.draw_dataset(key.generator(Purpose.VIEWS)) for key in keys], minlength=6)
    shares = weights / weights.sum()
    assert (abs(counts - draws * shares) < 3 * np.sqrt(draws * shares * (1 - shares))).all()


# View sets.

SEVERAL = {"choices": {"a": {"share": 1.0, "max": 3}, "b": {"share": 1.0, "rule": "unordered"}}}


def check_view_sets(mixture, config, draws):
    """Bounds, one scene, the cap, and one shape on all ranks, over so many draws with four ranks and two micro-batches."""
    world, accumulation, drawn = 4, 2, 0
    samples, run = TrainSamples(config, RunFacts(), mixture), RunFacts()
    stage, ranges = stage_number(run.stage), config.shape_ranges(run.patch_size)
    ranks = [TrainBatches(run.seed, stage, ranges, rank, world, accumulation, None, lambda: 0) for rank in range(world)]
    number = 0
    while drawn < draws:
        batches = [rank.batch(number) for rank in ranks]
        shapes = {(len(batch), r.views, r.height, r.width) for batch in batches for r in batch}
        assert len(shapes) == 1
        scenes, views, height, width = shapes.pop()
        assert config.views[0] <= views <= config.views[1] and scenes * views <= config.images_per_gpu
        assert math.floor(config.aspect[0] * width / 14) * 14 <= height <= config.aspect[1] * width
        for request in (r for batch in batches for r in batch):
            pick = samples.pick(request)
            dataset = mixture[pick.dataset]
            count = int(dataset.index["scene.frame_count"][pick.scene])
            assert pick.scene in dataset.scenes and pick.positions.shape == (views,)
            assert pick.positions.dtype == np.int64 and pick.positions.min() >= 0 and pick.positions.max() < count
            if dataset.config.sampling.get("rule") == "unordered" and count >= views:
                assert len(set(pick.positions.tolist())) == views, "no frame twice where there are enough"
            drawn += 1
        number += 1


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A dataset with scenes of one frame, and one of scenes of eleven; nobody reads their pictures."""
    folder = tmp_path_factory.mktemp("uneven")
    for frames in (1, 11):
        options = SceneOptions(width=16, height=16, views=frames)
        preprocess(SyntheticReader(options, 2, 1), folder / str(frames), EngineSettings(), workers=1)
    return folder


def rules_of(folder):
    settings = [{"rule": name, **(SEVERAL if name == "one_of" else {})} for name in rule_names() if name != ONE_OF]
    return [
        open_dataset(DatasetConfig(str(folder / frames), sampling=rule, min_frames=1))
        for rule in settings
        for frames in ("1", "11")
    ]


@pytest.mark.parametrize("draws", [2_000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("kind", [{}, {"batches": "state_query"}, {"batches": "streaming", "views": [5, 5]}])
def test_view_sets_keep_their_bounds(uneven, kind, draws):
    config = stamp_config(uneven, views=[2, 24], images_per_gpu=24, width=56, aspect=[0.33, 1.0])
    check_view_sets(rules_of(uneven), replace(config, **kind), draws)


# Little data.


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reading", ["random", "sequential"])
@pytest.mark.parametrize(
    "kind", [{}, {"batches": "state_query"}, {"batches": "streaming", "views": [3, 3]}], ids=lambda kind: str(kind)
)
@pytest.mark.parametrize("frames", ["1", "11"])
def test_few_scenes_for_many_ranks_and_workers(uneven, frames, kind, reading):
    # Two scenes in one shard, four ranks with three workers each.
    train = {"few": DatasetConfig(str(uneven / frames), sampling={"rule": "unordered"}, min_frames=1)}
    config = stamp_config(uneven, train=train, validation={}, workers=3, reading=reading, **kind)
    shapes = []
    for rank in (0, 3):
        module = ZooDataModule(config, total_steps=5)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=4, accumulate_grad_batches=1, training=True)
        batches = list(module.train_dataloader())
        assert [batch.number for batch in batches] == list(range(5)) and not any(batch.faults for batch in batches)
        shapes.append([(batch.images.shape, batch.input_count) for batch in batches])
    assert shapes[0] == shapes[1]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("workers", [0, 3])
def test_one_scene_of_one_frame_is_validated_once(uneven, workers):
    heldout = {"one": DatasetConfig(str(uneven / "1"), split="heldout", min_frames=1)}
    config = stamp_config(
        uneven, train={}, validation=heldout, workers=workers, validation_sets=ValidationConfig(views=2)
    )
    seen = []
    for rank in range(3):
        module = ZooDataModule(config)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=3)
        (batch,) = module.val_dataloader()
        seen.append(batch.repeat is None)
        assert batch.frames.tolist() == [[0, 0]]
    assert seen == [True, False, False]


def test_splits_without_scenes_are_refused_before_the_start(uneven):
    for reading in ("random", "sequential"):
        config = stamp_config(uneven, train={"few": DatasetConfig(str(uneven / "1"))}, validation={}, reading=reading)
        with pytest.raises(UserError, match="no scene of split 'train' has min_frames = 2 frames, the longest has 1"):
            ZooDataModule(config, total_steps=1).train_dataloader()
        config = stamp_config(uneven, train={"few": DatasetConfig(str(uneven / "11"), split="val")}, reading=reading)
        with pytest.raises(UserError, match="no split 'val', expected one of"):
            ZooDataModule(config, total_steps=1).train_dataloader()
    empty = {"few": DatasetConfig(str(uneven / "1"), split="heldout")}
    with pytest.raises(UserError, match="no scene of split 'heldout'"):
        ZooDataModule(stamp_config(uneven, train={}, validation=empty)).val_dataloader()


def test_a_stream_without_a_window_that_is_long_enough_is_refused(uneven, tmp_path):
    # Scenes have enough frames, but windows are shorter than what a sample needs.
    folder = shutil.copytree(uneven / "11", tmp_path / "11")
    train = {"few": DatasetConfig(str(folder), min_frames=8)}
    config = stamp_config(uneven, train=train, validation={}, reading="sequential", window=5)
    with pytest.raises(UserError, match="no shard has 8 frames of a scene that can be streamed") as caught:
        next(iter(ZooDataModule(config, total_steps=1).train_dataloader()))
    assert "\n" not in str(caught.value)


# Validation.


@pytest.mark.parametrize("sets", [1, 2, 3, 5, 8])
def test_a_mean_over_validation_does_not_depend_on_the_ranks(tmp_path, sets):
    options = SceneOptions(width=16, height=16, views=4)
    preprocess(SyntheticReader(options, 1, sets), tmp_path / "some", EngineSettings(lossless=True), workers=1)
    heldout = {"some": DatasetConfig(str(tmp_path / "some"), split="heldout")}
    config = stamp_config(tmp_path, train={}, validation=heldout)

    def looked_at(world):
        scenes, sums, batches = [], torch.zeros(2, dtype=torch.float64), set()
        for rank in range(world):
            module = ZooDataModule(config)
            module.trainer = SimpleNamespace(global_rank=rank, world_size=world)
            mine = list(module.val_dataloader())
            batches.add(tuple(len(batch.scene) for batch in mine))
            for batch in mine:
                for place, scene in enumerate(batch.scene):
                    if batch.repeat is None or not batch.repeat[place]:
                        scenes.append(scene)
                        sums += torch.tensor([float(batch.depth[place].mean()), 1.0], dtype=torch.float64)
        assert len(batches) == 1, "ranks wait for each other in every batch"
        return sorted(scenes), float(sums[0] / sums[1])

    alone, mean = looked_at(1)
    assert len(alone) == len(set(alone)) == sets
    for world in (2, 3, 4):
        scenes, found = looked_at(world)
        assert scenes == alone and found == pytest.approx(mean, rel=1e-6)


def test_validation_batches_of_no_sets_are_none():
    assert list(ValidationBatches(0, 4, 0, 2)) == []


def test_the_cap_of_a_rank_holds_for_every_shape():
    ranges = ShapeRanges((1, 60), (0.33, 1.0), 518, 14, 60)
    for number in range(2000):
        batch = TrainBatches(3, 1, ranges, 1, 3, 2, None, lambda: 0).batch(number)
        assert 1 <= len(batch) * batch[0].views <= 60
