import logging
import multiprocessing
import os
import pickle
import random
import shutil
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from scipy.stats import chisquare
from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig, ValidationConfig
from zipmap_pl.datasets.data_module import ZooDataModule, open_dataset
from zipmap_pl.datasets.draws.draw import DrawKey, Purpose, stage_number
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.format.depth_coding import depth_table
from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader, OpenFiles, depth_limits
from zipmap_pl.datasets.format.schema import PARTS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig
from zipmap_pl.datasets.loading.mixture import Mixture
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.exact_cameras import invert_rigid, pixel_points, transform_points
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFrame, RawScene

HEIGHT, WIDTH = 64, 80
WALL = 4.0  # the plane z = 4 m that every camera looks at
QUIET = {"colour": "none"}
UNORDERED = {"rule": "unordered"}


@dataclass(frozen=True)
class WallReader:
    """Cameras that slide along a wall: [scenes] frames each. Depth is exact, the principal point off centre."""

    slug: str = "wall"
    scenes_of: tuple[tuple[str, str, int], ...] = (
        ("a", "train", 12),
        ("b", "train", 9),
        ("c", "test", 8),
        ("d", "test", 6),
    )
    metres: float | None = 1.0

    @property
    def info(self):
        return DatasetInfo(self.slug, "Wall", "none", "static", "synthetic", self.metres)

    def settings(self):
        return {"scenes": [list(scene) for scene in self.scenes_of]}

    def scenes(self):
        return [RawScene(n, split, tuple(f"f{i}" for i in range(count))) for n, split, count in self.scenes_of]

    def camera(self, scene, frame):
        cam_to_world = np.eye(4)
        cam_to_world[0, 3] = 0.1 * int(frame[1:])
        return RawCamera(np.array([[70.0, 0, 38.5], [0, 72.0, 31.25], [0, 0, 1]]), cam_to_world)

    def frame(self, scene, frame):
        number = int(frame[1:])
        generator = np.random.default_rng([number, len(scene.name), ord(scene.name[0])])
        image = cv2.resize(generator.integers(0, 256, (8, 10, 3), dtype=np.uint8), (WIDTH, HEIGHT))
        depth = np.full((HEIGHT, WIDTH), WALL, np.float32)
        depth[:6] = 0  # unknown
        depth[6:10] = 9.0  # far away
        return RawFrame(self.camera(scene, frame), image, depth=depth)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    settings = EngineSettings(frames_per_shard=7, lossless=True)
    preprocess(WallReader(), folder / "wall", settings, workers=1)
    other = WallReader("other", (("x", "train", 10), ("y", "train", 3), ("z", "train", 2)), metres=None)
    preprocess(other, folder / "other", settings, workers=1)
    return folder


@pytest.fixture
def own_shards(shards, tmp_path):
    shutil.copytree(shards, tmp_path / "own")
    return tmp_path / "own"


def config(shards, **changes):
    defaults = {
        "train": {
            "wall": DatasetConfig(str(shards / "wall"), weight=3.0, normals=True),
            "other": DatasetConfig(str(shards / "other"), weight=1.0, sampling=UNORDERED, depth_percentile=90.0),
        },
        "validation": {"wall": DatasetConfig(str(shards / "wall"), split="test")},
        "width": 56,
        "aspect": (0.5, 1.0),
        "views": (2, 5),
        "images_per_gpu": 10,
        "workers": 0,
        "augmentation": AugmentationConfig(),
        "validation_sets": ValidationConfig(views=4),
    }
    return DataConfig(**{**defaults, **changes})


def scene_number(index, name):
    """Row of a scene in the index."""
    return next(scene for scene in range(index.scene_count) if index.text("scene.name", scene) == name)


def values(batch):
    """A batch as plain comparable values."""
    entries = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    return {name: value.numpy().tobytes() if isinstance(value, Tensor) else value for name, value in entries.items()}


def load(data_config, steps, start_step=0, run=None):
    module = ZooDataModule(data_config, start_step=start_step, total_steps=steps, run=run)
    return [values(batch) for batch in module.train_dataloader()]


def test_batches_have_the_promised_shapes(shards):
    seen = set()
    for batch in ZooDataModule(config(shards), total_steps=12).train_dataloader():
        scenes, views, channels, height, width = batch.images.shape
        assert (channels, width) == (3, 56) and height % 14 == 0 and 28 <= height <= 56
        assert scenes == 10 // views
        assert batch.images.dtype == torch.uint8
        assert batch.depth.shape == batch.mask.shape == (scenes, views, height, width)
        assert batch.depth.dtype == torch.float32 and batch.mask.dtype == torch.bool
        assert torch.equal(batch.mask, batch.depth > 0)
        assert batch.world_to_cam.shape == (scenes, views, 3, 4) and batch.world_to_cam.dtype == torch.float32
        assert batch.intrinsics.shape == (scenes, views, 3, 3)
        assert (batch.intrinsics[..., 0, 2] - width / 2).abs().max() < 1e-3
        assert (batch.intrinsics[..., 1, 2] - height / 2).abs().max() < 1e-3
        assert batch.frames.shape == (scenes, views) and batch.frames.dtype == torch.int64
        assert batch.normals.tolist() == [slug == "wall" for slug in batch.dataset]
        assert batch.repeat is None and batch.faults == []
        seen.add((views, height))
    assert len(seen) > 4


def test_points_of_a_batch_lie_on_the_wall(shards):
    module = ZooDataModule(config(shards, augmentation=AugmentationConfig(**QUIET)), total_steps=4)
    index = ShardIndex.open(shards / "wall")
    checked = 0
    for batch in module.train_dataloader():
        for scene in range(len(batch.scene)):
            if batch.dataset[scene] != "wall":
                continue
            number = scene_number(index, batch.scene[scene])
            unit, raw = float(index["scene.unit"][number]), index["scene.raw_from_world"][number]
            for view in range(batch.images.shape[1]):
                k = batch.intrinsics[scene, view].double().numpy()
                depth = batch.depth[scene, view].numpy()
                points = pixel_points(depth, np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]))
                world = invert_rigid(batch.world_to_cam[scene, view].double().numpy())
                z = transform_points(raw, unit * transform_points(world, points.reshape(-1, 3)))[:, 2]
                near = z[(depth > 0).ravel() & (z < 6)]
                assert np.abs(near - WALL).max() < WALL * 1e-3
                checked += 1
    assert checked > 10


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("kind", [{}, {"batches": "state_query"}, {"batches": "streaming", "views": (4, 4)}])
def test_resume_is_bitwise_and_does_not_depend_on_workers(shards, workers, kind):
    whole = load(config(shards, **kind), 9)
    assert len(whole) == 9 and [batch["number"] for batch in whole] == list(range(9))
    assert len({batch["images"] for batch in whole}) == 9  # no step is like another
    for step in range(9) if workers == 0 else (0, 4):
        assert load(config(shards, workers=workers, prefetch=3, **kind), 9, start_step=step) == whole[step:]


def test_order_of_the_settings_does_not_matter(shards):
    settings = config(shards)
    turned = replace(settings, train=dict(reversed(settings.train.items())))
    assert list(turned.train) != list(settings.train)
    assert load(turned, 3) == load(settings, 3)


def test_seed_and_stage_give_other_batches(shards):
    runs = RunFacts(), RunFacts(seed=6), RunFacts(stage="dynamic")
    first, seed, stage = (load(config(shards), 2, run=run) for run in runs)
    assert first != seed and first != stage and seed != stage


@pytest.mark.parametrize("kind", [{}, {"batches": "state_query"}, {"batches": "streaming", "views": (4, 4)}])
def test_ranks_share_the_draws_of_one_big_rank(shards, kind):
    def samples(rank, world, accumulation):
        module = ZooDataModule(config(shards, **kind), total_steps=3)
        module.trainer = SimpleNamespace(
            global_rank=rank, world_size=world, accumulate_grad_batches=accumulation, training=True
        )
        for batch in module.train_dataloader():
            for scene in range(len(batch.scene)):
                targets = [] if batch.targets is None else batch.targets[scene].tolist()
                yield batch.number // accumulation, batch.images[scene].numpy().tobytes(), targets

    split = sorted(sample for rank in range(4) for sample in samples(rank, 4, 1))
    assert split == sorted(samples(0, 1, 4))
    assert split == sorted(sample for rank in range(2) for sample in samples(rank, 2, 2))


@pytest.mark.parametrize("workers", [0, 1])
def test_global_generators_are_left_alone(shards, workers):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    load(config(shards, workers=workers), 3)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_mixture_follows_weights_and_frames(shards):
    base = config(shards)
    by_frames = [replace(dataset, scenes="by_frames") for dataset in base.train.values()]
    mixture = Mixture([open_dataset(dataset) for dataset in by_frames])
    generator = np.random.default_rng(0)
    draws = 20_000
    picks = [mixture.draw(generator, 2) for _ in range(draws)]
    first = np.mean([pick.dataset == 0 for pick in picks])
    assert abs(first - 0.75) < 4 * np.sqrt(0.75 * 0.25 / draws)
    long = scene_number(mixture.datasets[0].index, "a")
    longest = np.mean([pick.scene == long for pick in picks if pick.dataset == 0])
    assert abs(longest - 12 / 21) < 4 * np.sqrt(0.25 / draws / 0.75)
    for pick in picks[:2000]:
        count = mixture.datasets[pick.dataset].index["scene.frame_count"][pick.scene]
        assert pick.positions.min() >= 0 and pick.positions.max() < count
    uniform = Mixture([open_dataset(base.train["wall"])])
    share = np.mean([uniform.draw(generator, 2).scene == long for _ in range(5000)])
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / 5000)


def test_the_first_draws_follow_the_mixture(shards):
    base = config(shards).train
    names = {"a": 5.0, "b": 3.0, "c": 1.5, "d": 0.5}
    mixture = Mixture([open_dataset(replace(base["wall"], weight=weight)) for weight in names.values()])
    keys = (DrawKey(42, stage_number("static"), step, slot) for step in range(1000) for slot in range(10))
    drawn = np.bincount([mixture.draw(key.generator(Purpose.VIEWS), 2).dataset for key in keys])
    assert drawn.sum() == 10_000
    assert chisquare(drawn, 1000 * np.array(list(names.values()))).pvalue > 1e-3


def test_every_start_of_a_dataset_is_drawn_alike(shards):
    # Scenes of 12 and 9 frames: 7 and 4 starts that leave 6 frames; 8 views start too late for most of them.
    sampling = {"rule": "video_intervals", "max": 1, "constant": 0.0}
    by_starts = DatasetConfig(str(shards / "wall"), scenes="by_starts", min_frames=6, sampling=sampling)
    mixture = Mixture([open_dataset(by_starts)])
    generator = np.random.default_rng(0)
    picks = [mixture.draw(generator, 6) for _ in range(4000)]
    long = scene_number(mixture.datasets[0].index, "a")
    starts = [(pick.scene == long) * 100 + int(pick.positions[0]) for pick in picks]
    found, counts = np.unique(starts, return_counts=True)
    assert found.tolist() == [*range(4), *range(100, 107)]
    assert chisquare(counts).pvalue > 1e-3
    assert any(len(set(mixture.draw(generator, 8).positions.tolist())) < 8 for _ in range(50))


def test_covisible_views_come_from_the_neighbours_of_the_index(shards):
    walking = DatasetConfig(str(shards / "wall"), sampling={"rule": "covisibility_walk"})
    mixture = Mixture([open_dataset(walking)])
    index = mixture.datasets[0].index
    for seed in range(50):
        pick = mixture.draw(np.random.default_rng(seed), 4)
        rows = np.array(index.scene_rows(pick.scene))[pick.positions]
        for row, following in zip(rows, pick.positions[1:], strict=False):
            assert following in index["frame.neighbours"][row]


def test_short_scenes_are_left_out_or_visited_again(shards):
    other = DatasetConfig(str(shards / "other"), sampling=UNORDERED, min_frames=3)
    assert len(open_dataset(other).scenes) == 2
    one = config(shards, train={"other": replace(other, min_frames=10)}, views=(5, 5))
    assert {name for batch in load(one, 4) for name in batch["scene"]} == {"x"}
    repeating = config(shards, train={"other": other}, views=(5, 5))
    frames = [batch.frames for batch in ZooDataModule(repeating, total_steps=10).train_dataloader()]
    assert any(len(set(scene.tolist())) == 3 for batch in frames for scene in batch)
    with pytest.raises(UserError, match="min_frames = 11 frames, the longest has 10"):
        open_dataset(replace(other, min_frames=11))


def test_scenes_without_any_usable_frame_are_never_drawn(tmp_path):
    @dataclass(frozen=True)
    class Lost(WallReader):
        def camera(self, scene, frame):
            camera = super().camera(scene, frame)
            return camera if scene.name != "b" else RawCamera(camera.intrinsics, np.full((4, 4), np.nan))

        def frame(self, scene, frame):
            return replace(super().frame(scene, frame), camera=self.camera(scene, frame))

    preprocess(Lost(), tmp_path, EngineSettings(max_fault_share=0.5), workers=1)
    index = ShardIndex.open(tmp_path)
    assert index["scene.frame_count"][scene_number(index, "b")] == 0
    wall = {"wall": DatasetConfig(str(tmp_path), min_frames=1)}
    module = ZooDataModule(config(tmp_path, train=wall, validation=wall), total_steps=20)
    for loader in (module.train_dataloader(), module.val_dataloader()):
        assert {scene for batch in loader for scene in batch.scene} == {"a"}


def test_a_script_without_main_guard_is_told_so_before_workers_start(shards, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UserError, match="__main__"):
        ZooDataModule(config(shards, workers=1), total_steps=1).train_dataloader()
    ZooDataModule(config(shards, workers=0), total_steps=1).train_dataloader()


def limited(index, row, *limits):
    """The depth of a frame as training sees it."""
    table = depth_table(*index["frame.depth_range"][row].tolist(), depth_limits(index, row, *limits))
    return table[FrameReader(index).depth_codes(row)]


def test_depth_limits(shards):
    index = ShardIndex.open(shards / "wall")
    row = index.scene_rows(scene_number(index, "a"))[3]
    unit = float(index["scene.unit"][scene_number(index, "a")])
    frame = FrameReader(index, OpenFiles()).read(row)
    far = frame.depth[7, 5]
    assert far == pytest.approx(9.0 / unit, rel=1e-3) and frame.depth[0, 0] == 0
    kept = limited(index, row, None, None, None)
    assert np.array_equal(kept, frame.depth)
    assert np.unique(limited(index, row, None, None, 8.0)).size == 2  # 0 and the wall
    # 4 of 58 valid rows are far: the 90th percentile of the valid pixels is the wall, the 95th is not.
    assert np.unique(limited(index, row, None, 90.0, None)).size == 2
    assert np.unique(limited(index, row, None, 95.0, None)).size == 3
    assert np.array_equal(limited(index, row, 0.1, 99.0, None), frame.depth)


def test_a_depth_that_equals_the_limit_is_kept(tmp_path):
    # Most pixels have one depth between others: its code may decode to a value a little above.
    @dataclass(frozen=True)
    class Steps(WallReader):
        def frame(self, scene, frame):
            depth = np.full((HEIGHT, WIDTH), 3 + 0.13 * int(frame[1:]), np.float32)
            depth[0], depth[1, :4] = 1.0, 50.0
            return replace(super().frame(scene, frame), depth=depth)

    preprocess(Steps("steps", (("a", "train", 12),)), tmp_path / "steps", EngineSettings(), workers=1)
    index = ShardIndex.open(tmp_path / "steps")
    for row in range(12):
        kept = limited(index, row, None, 95.0, 3 + 0.13 * row)
        assert (kept > 0).sum() == HEIGHT * WIDTH - 4


def test_metres_and_raw_units_limit_alike(tmp_path):
    # The same wall in millimetres, once metric and once not.
    @dataclass(frozen=True)
    class Millimetres(WallReader):
        def camera(self, scene, frame):
            camera = super().camera(scene, frame)
            pose = camera.cam_to_world.copy()
            pose[:3, 3] *= 1000
            return RawCamera(camera.intrinsics, pose)

        def frame(self, scene, frame):
            raw = super().frame(scene, frame)
            return replace(raw, depth=raw.depth * 1000, camera=self.camera(scene, frame))

    for name, metres, limit in (("metric", 0.001, 8.0), ("raw", None, 8000.0)):
        preprocess(Millimetres(name, (("a", "train", 4),), metres), tmp_path / name, EngineSettings(), workers=1)
        index = ShardIndex.open(tmp_path / name)
        largest = depth_limits(index, 0, None, None, limit)[1] * float(index["scene.unit"][0])
        assert largest == pytest.approx(8000, rel=2e-3)


def test_batches_hold_no_depth_beyond_the_limits(shards):
    # 9 m behind a wall at 4 m: a maximum in metres, of the dataset or of scenes by their names, takes it away.
    index = ShardIndex.open(shards / "wall")
    limits = ({}, {"max_depth": 8.0}, {"max_depth": 8.0, "max_depth_of": {"a*": 10.0}}, {"depth_percentile": 90.0})
    for limit, far in zip(limits, ({"a", "b"}, set(), {"a"}, set()), strict=True):
        quiet = {"augmentation": AugmentationConfig(**QUIET), "zoom": (1.0, 1.0), "aspect": (0.75, 0.75)}
        train = {"wall": DatasetConfig(str(shards / "wall"), **limit)}
        deepest = {}
        for batch in ZooDataModule(config(shards, train=train, **quiet), total_steps=5).train_dataloader():
            for name, depth in zip(batch.scene, batch.depth, strict=True):
                unit = float(index["scene.unit"][scene_number(index, name)])
                deepest[name] = max(deepest.get(name, 0.0), unit * float(depth.max()))
        for name, depth in deepest.items():
            assert depth == pytest.approx(9.0 if name in far else WALL, rel=2e-3)


@pytest.mark.parametrize("reading", ["random", "sequential"])
def test_scenes_have_another_rule_by_their_names(shards, reading):
    rules = {"sampling": {"rule": "video_intervals", "max": 3}, "sampling_of": {"a*": {"max": 1}}}
    train = {"wall": DatasetConfig(str(shards / "wall"), **rules)}
    module = ZooDataModule(config(shards, train=train, reading=reading, views=(3, 3)), total_steps=20)
    longest = {"a": 0, "b": 0}
    for batch in module.train_dataloader():
        for name, frames in zip(batch.scene, batch.frames, strict=True):
            longest[name] = max(longest[name], int(frames.diff().max()))
    assert longest["a"] == 1 < longest["b"]


@dataclass(frozen=True)
class WallWithObject(WallReader):
    """All that is left of the principal point, but for its own column, is the object."""

    def frame(self, scene, frame):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[:, :38] = True
        return replace(super().frame(scene, frame), object=mask)


@pytest.mark.parametrize("reading", ["random", "sequential"])
def test_a_share_of_the_samples_keeps_the_depth_of_the_object_only(tmp_path, shards, reading):
    preprocess(WallWithObject(), tmp_path / "wall", EngineSettings(), workers=1)
    batches = {}
    for share in (0.0, 0.3, 1.0):
        train = {"wall": DatasetConfig(str(tmp_path / "wall"), object_only=share)}
        quiet = config(shards, train=train, reading=reading, augmentation=AugmentationConfig(**QUIET))
        batches[share] = list(ZooDataModule(quiet, total_steps=20).train_dataloader())
    cut, samples = 0, 0
    for whole, some, alone in zip(*batches.values(), strict=True):
        assert torch.equal(whole.images, some.images) and torch.equal(whole.images, alone.images)
        half = whole.depth.shape[-1] // 2  # where the principal point is
        assert not alone.depth[..., half:].any() and not alone.mask[..., half:].any()
        assert torch.equal(alone.depth[..., : half - 4], whole.depth[..., : half - 4]) and alone.mask.any()
        for number in range(len(some.scene)):  # all views of a sample alike
            is_cut = torch.equal(some.depth[number], alone.depth[number])
            assert is_cut or torch.equal(some.depth[number], whole.depth[number])
            cut, samples = cut + is_cut, samples + 1
    assert 0.15 < cut / samples < 0.45


def test_an_object_that_the_shards_do_not_know_is_refused_at_the_start(shards):
    train = {"wall": DatasetConfig(str(shards / "wall"), object_only=0.1)}
    with pytest.raises(UserError, match=r"wall: object_only is 0.1, but there are scenes without object masks"):
        ZooDataModule(config(shards, train=train)).setup()


def flip_byte(index, part, scene="a"):
    """Damage one byte of a part of frame 9 of a scene."""
    row = index.scene_rows(scene_number(index, scene))[9]
    column = PARTS.index(part)
    path = index.shard_file(int(index["frame.shard"][row]))
    place = int(index["frame.part_offset"][row, column]) + int(index["frame.part_length"][row, column]) // 2
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("part", ["image", "depth"])
def test_damage_is_found_and_named(own_shards, part):
    index = ShardIndex.open(own_shards / "wall")
    path = flip_byte(index, part)
    reader = FrameReader(index, OpenFiles())
    rows = index.scene_rows(scene_number(index, "a"))
    reader.read(rows[8])
    with pytest.raises(DamagedShard, match=rf"{path}: sample a/f9: {part} at \d+ has checksum \w+, the index says"):
        reader.read(rows[9])


def test_cut_and_missing_shards_are_found(own_shards):
    index = ShardIndex.open(own_shards / "wall")
    rows = index.scene_rows(scene_number(index, "a"))
    path = index.shard_file(int(index["frame.shard"][rows[5]]))
    offset = int(index["frame.part_offset"][rows[5], 0])
    os.truncate(path, offset + 100)
    reader = FrameReader(index, OpenFiles())
    reader.read(rows[4])
    with pytest.raises(DamagedShard, match="image has 100 bytes"):
        reader.read(rows[5])
    path.unlink()
    with pytest.raises(DamagedShard, match="No such file"):
        FrameReader(index, OpenFiles()).read(rows[4])


def test_damaged_samples_are_replaced_counted_and_logged_once(own_shards, caplog):
    quiet = {"train": {"wall": DatasetConfig(str(own_shards / "wall"))}, "views": (2, 2)}
    clean = load(config(own_shards, **quiet), 20)
    path = flip_byte(ShardIndex.open(own_shards / "wall"), "image")

    module = ZooDataModule(config(own_shards, **quiet), total_steps=20)
    batches = list(module.train_dataloader())
    faulty = [batch for batch in batches if batch.faults]
    assert 0 < len(faulty) < 20
    for batch, before in zip(batches, clean, strict=True):
        shown = np.frombuffer(before["frames"], np.int64).reshape(-1, 2)
        bad = [scene == "a" and 9 in row for scene, row in zip(before["scene"], shown.tolist(), strict=True)]
        assert len(batch.faults) >= sum(bad)
        if not any(bad):
            assert values(batch) == before  # the others are as if nothing had happened
        assert not any(s == "a" and 9 in row for s, row in zip(batch.scene, batch.frames.tolist(), strict=True))
    workers = config(own_shards, **quiet, workers=2)
    assert load(workers, 20) == [values(batch) for batch in batches]  # the replacement is deterministic

    with caplog.at_level(logging.WARNING):
        for batch in batches:
            module.on_before_batch_transfer(batch, 0)
    assert module.faults.files == {str(path): sum(len(batch.faults) for batch in batches)}
    assert module.faults.draws == module.faults.faults + sum(len(batch.scene) for batch in batches)
    assert len([record for record in caplog.records if str(path) in record.getMessage()]) == 1


def test_replacements_do_not_depend_on_ranks_or_resume(own_shards):
    flip_byte(ShardIndex.open(own_shards / "wall"), "depth")
    flip_byte(ShardIndex.open(own_shards / "wall"), "image")
    flip_byte(ShardIndex.open(own_shards / "other"), "image", "x")

    def samples(rank, world, accumulation, start_step=0):
        module = ZooDataModule(config(own_shards), start_step=start_step, total_steps=12)
        module.trainer = SimpleNamespace(
            global_rank=rank, world_size=world, accumulate_grad_batches=accumulation, training=True
        )
        for batch in module.train_dataloader():
            faults.extend(batch.faults)
            for scene in range(len(batch.scene)):
                yield batch.number // accumulation, batch.images[scene].numpy().tobytes()

    faults = []
    whole = sorted(samples(0, 1, 4))
    assert len(set(faults)) == 2 and len(faults) > 5
    assert sorted(sample for rank in range(4) for sample in samples(rank, 4, 1)) == whole
    assert sorted(sample for rank in range(2) for sample in samples(rank, 2, 2)) == whole
    assert sorted(samples(0, 1, 4, start_step=7)) == [sample for sample in whole if sample[0] >= 7]


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_readable_stops_with_one_line(own_shards, workers):
    for shard in (own_shards / "other" / "train").iterdir():
        shard.write_bytes(b"")
    broken = config(
        own_shards, train={"other": DatasetConfig(str(own_shards / "other"))}, workers=workers, max_faults=3
    )
    with pytest.raises(UserError) as caught:
        load(broken, 2)
    assert str(caught.value).startswith("4 samples in a row cannot be read, the last one: ")
    damaged = config(own_shards, validation={"wall": DatasetConfig(str(own_shards / "wall"))}, workers=workers)
    path = flip_byte(ShardIndex.open(own_shards / "wall"), "image")
    damaged.validation_sets.positions = [9, 0]
    with pytest.raises(DamagedShard) as caught:
        list(ZooDataModule(damaged).val_dataloader())
    assert str(caught.value).startswith(f"{path}: sample a/f9: image at ")
    assert "Traceback" not in str(caught.value)


def test_validation_is_fixed_and_complete(shards):
    def sets(rank, world, workers=0):
        module = ZooDataModule(config(shards, workers=workers))
        module.trainer = SimpleNamespace(global_rank=rank, world_size=world)
        for batch in module.val_dataloader():
            assert batch.images.shape[1:] == (4, 3, 56, 56)
            for scene in range(len(batch.scene)):
                if batch.repeat is None or not batch.repeat[scene]:
                    yield batch.scene[scene], batch.frames[scene].tolist(), batch.images[scene].numpy().tobytes()

    alone = sorted(sets(0, 1))
    assert [(scene, frames) for scene, frames, _ in alone] == [("c", [0, 2, 5, 7]), ("d", [0, 2, 3, 5])]
    for world in (2, 3, 4):
        assert sorted(item for rank in range(world) for item in sets(rank, world)) == alone
    assert sorted(sets(0, 1, workers=2)) == alone


def test_validation_positions_can_be_given(shards):
    given = config(shards, validation_sets=ValidationConfig(positions=[0, 2, 4, 6]))
    batches = list(ZooDataModule(given).val_dataloader())
    assert [(batch.scene, batch.frames.tolist()) for batch in batches] == [(["c"], [[0, 2, 4, 6]])]  # d has 6 frames
    none = config(shards, validation_sets=ValidationConfig(positions=[0, 50]))
    with pytest.raises(UserError, match="no scene has a frame 50"):
        ZooDataModule(none).val_dataloader()


def test_it_says_what_it_found(shards, caplog):
    with caplog.at_level(logging.INFO):
        ZooDataModule(config(shards, width=112)).setup()
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("zipmap_pl")]
    assert lines == [
        f"train: other ({shards / 'other'}, train): 3 scenes, 15 frames, pictures of 3 scenes enlarged to 112 pixels, "
        "25.0 % of the samples",
        f"train: wall ({shards / 'wall'}, train): 2 scenes, 21 frames, pictures of 2 scenes enlarged to 112 pixels, "
        "75.0 % of the samples",
        f"validation: wall ({shards / 'wall'}, test): 2 scenes, 14 frames, pictures of 2 scenes enlarged to 112 pixels",
    ]


def test_missing_datasets_are_an_error_unless_allowed(own_shards, caplog):
    train = config(own_shards).train | {"lost": DatasetConfig(str(own_shards / "lost"), weight=4.0)}
    with pytest.raises(UserError, match=r"lost: no such folder"):
        ZooDataModule(config(own_shards, train=train)).setup()
    train["gone"] = DatasetConfig(str(own_shards / "gone"))
    with pytest.raises(
        UserError, match=r"2 datasets are missing or unfinished \(gone, lost\).*data.allow_missing=true"
    ):
        ZooDataModule(config(own_shards, train=train)).setup()
    module = ZooDataModule(config(own_shards, train=train, allow_missing=True), total_steps=2)
    assert [values(batch) for batch in module.train_dataloader()] == load(config(own_shards), 2)
    lines = module.describe()
    assert lines[0].endswith("25.0 % of the samples") and lines[1].endswith("75.0 % of the samples")
    assert [line.split(":")[0] for line in lines[3:]] == ["left out", "left out"] and "no such folder" in lines[3]
    nothing = config(own_shards, train={"lost": train["lost"]}, allow_missing=True)
    with pytest.raises(UserError, match="no training dataset, all of lost are missing"):
        ZooDataModule(nothing).train_dataloader()


def test_a_damaged_dataset_is_an_error_even_where_missing_ones_are_allowed(own_shards):
    (own_shards / "wall" / "index" / "frame.shard.npy").unlink()
    with pytest.raises(UserError, match=r"frame\.shard\.npy: missing or damaged"):
        ZooDataModule(config(own_shards, allow_missing=True)).setup()


def test_weight_0_leaves_a_dataset_out(own_shards):
    train = config(own_shards).train | {"lost": DatasetConfig(str(own_shards / "lost"), weight=0.0)}
    assert load(config(own_shards, train=train), 2) == load(config(own_shards), 2)


def test_one_word_adds_an_own_dataset(shards):
    more = config(shards, train={}, validation={}, also={"wall": str(shards / "wall")}, min_frames=9)
    assert more.train == {"wall": DatasetConfig(str(shards / "wall"), min_frames=9)}
    assert len(load(more, 2)) == 2
    with pytest.raises(UserError, match="also.wall is"):
        config(shards, also={"wall": str(shards / "wall")})


def test_missing_unfinished_and_mistaken_datasets_are_refused_in_one_line(own_shards, tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder.*zipmap preprocess .*--output .*nowhere"):
        open_dataset(DatasetConfig(str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no dataset\.json.*--output .*empty"):
        open_dataset(DatasetConfig(str(tmp_path / "empty")))
    (own_shards / "wall" / "dataset.json").unlink()
    with pytest.raises(UserError, match=r"not complete.*zipmap shards finish .*wall"):
        ZooDataModule(config(own_shards)).setup()
    with pytest.raises(UserError, match="no split 'val', expected one of train"):
        open_dataset(DatasetConfig(str(own_shards / "other"), split="val"))
    with pytest.raises(UserError, match="no training dataset"):
        ZooDataModule(DataConfig()).train_dataloader()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0, expected at least 1"),
        ({"sampling_of_all": {"vidio": 1.0}}, "sampling_of_all: no rule has a field 'vidio', expected one of block,"),
        ({"sampling_of_all": {"rule": "vidio"}}, "data: sampling_of_all: rule is 'vidio', expected one of"),
        ({"views": (2, 60)}, "views goes up to 60, more than images_per_gpu"),
        ({"aspect": (1.0, 0.3)}, "aspect is"),
        ({"batches": "query"}, "batches is 'query', expected one of reconstruction, state_query, streaming"),
        ({"batches": "streaming"}, r"views is \[2, 48\], expected one number twice"),
        ({"batches": "state_query", "views": (1, 9)}, "views starts at 1, expected 2 or more"),
        ({"zoom": (0.5, 1.0)}, "zoom is"),
        ({"augmentation": AugmentationConfig(colour="jiter")}, "expected one of none, gain_offset, jitter"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**change)


def test_impossible_dataset_settings_are_refused():
    impossible = (
        {"sampling": {"rule": "video"}},
        {"sampling": {"video": 1.5}},
        {"depth_percentile": 94.0},
        {"weight": -1.0},
        {"scenes": "by_start"},
        {"min_frames": 0},
    )
    for change in impossible:
        with pytest.raises(UserError, match="expected"):
            DatasetConfig("shards/x", **change)


def test_loader_travels_to_a_spawned_process(shards):
    loader = ZooDataModule(config(shards), total_steps=1).train_dataloader()
    requests = next(iter(loader.batch_sampler))
    copy = pickle.loads(pickle.dumps(loader.dataset))
    for request in requests:
        assert np.array_equal(copy[request].images, loader.dataset[request].images)


class Recorder(LightningModule):
    """Learns nothing, remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown, self.validated = [], []

    def training_step(self, batch: Batch, index):
        assert batch.images.dtype == torch.float32 and batch.images.min() >= 0 and batch.images.max() <= 1
        self.shown.append((batch.number, batch.frames.tolist(), float(batch.images.sum())))
        return self.weight * batch.images.mean()

    def validation_step(self, batch: Batch, index):
        self.validated.append(batch.scene)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(shards, steps, folder, start_step=0, checkpoint=None, **changes):
    module = ZooDataModule(config(shards), start_step=start_step, total_steps=8)
    model = Recorder()
    settings = {
        "max_steps": steps,
        "accumulate_grad_batches": 2,
        "use_distributed_sampler": False,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 1,
        "default_root_dir": folder,
        "val_check_interval": 6,
        "check_val_every_n_epoch": None,
    }
    trainer = Trainer(**{**settings, **changes})
    trainer.fit(model, module, ckpt_path=checkpoint, weights_only=None if checkpoint is None else True)
    return trainer, model.shown, model.validated


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lightning_trains_resumes_and_starts_epochs_without_repeating(shards, tmp_path):
    _, whole, validated = fit(shards, 8, tmp_path)
    assert [number for number, _, _ in whole] == list(range(16))
    assert validated

    trainer, first, _ = fit(shards, 3, tmp_path)
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    _, rest, _ = fit(shards, 8, tmp_path, start_step=3, checkpoint=tmp_path / "three.ckpt")
    assert first + rest == whole

    _, epochs, _ = fit(shards, 8, tmp_path, limit_train_batches=4, val_check_interval=1.0, check_val_every_n_epoch=1)
    assert epochs == whole


def test_images_follow_the_patches_of_the_model(shards):
    """A width that the patches do not fit into is refused; heights are multiples of the patch."""
    coarse = ZooDataModule(config(shards, width=64), total_steps=4, run=RunFacts(patch_size=16))
    assert {batch.images.shape[-2] % 16 for batch in coarse.train_dataloader()} == {0}
    fine = ZooDataModule(config(shards, width=64))
    for loader in (fine.train_dataloader, fine.val_dataloader):
        with pytest.raises(UserError, match="width is 64, expected a multiple of the model's patch_size = 14"):
            loader()
