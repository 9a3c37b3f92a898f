"""State-query batches: which views are inputs and which are targets; rays as the published code has them. Streaming."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_files import golden_arrays

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.draws.state_query import input_count, split_views, target_count
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions


@given(seed=st.integers(0, 2**32), views=st.integers(2, 64), cap=st.integers(2, 70))
def test_the_split_is_the_published_one(seed, views, cap):
    split = split_views(np.random.default_rng(seed), views, cap)
    inputs = split.order[: split.inputs].tolist()
    assert sorted(split.order.tolist()) == list(range(views))
    assert split.inputs == input_count(views) == max(2, views // 2)
    assert inputs[:2] == [0, views - 1]
    assert all(0 < place < views - 1 and place % (views // (split.inputs - 1)) == 0 for place in inputs[2:])
    targets = split.targets.tolist()
    assert len(set(targets)) == len(targets) == target_count(views, cap)
    assert sum(target < split.inputs for target in targets) <= 1


def test_targets_are_all_other_views_and_one_input_where_the_cap_allows():
    for views in range(5, 45):  # the published range and cap
        scenes = 44 // views
        split = split_views(np.random.default_rng(views), views, 44 // scenes)
        others = views - split.inputs
        assert split.inputs + len(split.targets) <= 44 // scenes
        assert len(split.targets) == min(44 // scenes - split.inputs, others + 1)
    assert len(split_views(np.random.default_rng(0), 8, 40).targets) == 5  # 4 others, 1 input


def test_every_view_between_is_an_input_or_a_target_as_often_as_the_others_alike_it():
    splits = [split_views(np.random.default_rng(seed), 8, 8) for seed in range(2000)]
    chosen = np.bincount(np.concatenate([split.order[2:4] for split in splits]), minlength=8)
    assert chosen[[0, 1, 3, 5, 7]].sum() == 0
    assert abs(chosen[[2, 4, 6]] / 2000 - 2 / 3).max() < 0.05
    an_input = np.mean([(split.targets < 4).any() for split in splits])
    assert abs(an_input - 4 / 5) < 0.05  # four of the five candidates are asked for


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    reader = SyntheticReader(SceneOptions(views=12, width=56, height=56), train_scenes=4, heldout_scenes=0)
    preprocess(reader, folder, EngineSettings(lossless=True), workers=1)
    return folder


def config(shards, **changes):
    rooms = {"rooms": DatasetConfig(str(shards), sampling={"max": 1})}
    return DataConfig(**{"train": rooms, "width": 56, "workers": 0, "images_per_gpu": 24, **changes})


def test_batches_hold_inputs_and_targets(shards):
    query = config(shards, batches="state_query", views=(4, 10))
    sizes = set()
    for batch in ZooDataModule(query, total_steps=10).train_dataloader():
        scenes, views = batch.frames.shape
        inputs, targets = batch.inputs(), batch.target_views()
        assert batch.input_count == input_count(views)
        assert batch.targets.shape == (scenes, target_count(views, 24 // scenes)) and batch.targets.dtype == torch.int64
        assert torch.equal(inputs.images, batch.images[:, : batch.input_count])
        assert inputs.targets is None and inputs.scene == batch.scene
        for scene in range(scenes):
            picked = batch.targets[scene]
            for name in ("images", "depth", "mask", "world_to_cam", "intrinsics", "frames"):
                assert torch.equal(getattr(targets, name)[scene], getattr(batch, name)[scene, picked])
        sizes.add(views)
    assert len(sizes) > 3


def test_other_batches_have_no_targets(shards):
    batch = next(iter(ZooDataModule(config(shards, views=(4, 4)), total_steps=1).train_dataloader()))
    assert batch.inputs() is batch and batch.input_count is None
    with pytest.raises(ValueError, match="state_query"):
        batch.target_rays()


def test_validation_is_split_the_same_way_every_time(shards):
    query = config(shards, batches="state_query", views=(4, 10), validation={"rooms": DatasetConfig(str(shards))})
    first, again = (list(ZooDataModule(query).val_dataloader()) for _ in range(2))
    assert all(
        torch.equal(a.targets, b.targets) and torch.equal(a.frames, b.frames) for a, b in zip(first, again, strict=True)
    )
    assert first[0].input_count == 4 and first[0].frames[0, :2].tolist() == [0, 11]


def batch_of(world_to_cam, intrinsics, height, width, inputs, targets):
    """A batch of given cameras, empty otherwise."""
    scenes, views = world_to_cam.shape[:2]
    flat = torch.zeros(scenes, views, height, width)
    return Batch(
        images=torch.zeros(scenes, views, 3, height, width),
        depth=flat,
        mask=flat > 0,
        world_to_cam=world_to_cam,
        intrinsics=intrinsics,
        normals=torch.zeros(scenes, dtype=torch.bool),
        dataset=["x"] * scenes,
        scene=["y"] * scenes,
        frames=torch.zeros(scenes, views, dtype=torch.int64),
        input_count=inputs,
        targets=torch.tensor(targets),
    )


def test_rays_of_the_targets_are_the_published_ones():
    golden = golden_arrays("geometry.npz")
    world_to_cam, intrinsics = (torch.from_numpy(golden[name]) for name in ("extrinsics", "intrinsics"))
    published = torch.from_numpy(golden["ray_map_9"])  # of normalised cameras, not yet divided by the query's unit
    batch = batch_of(world_to_cam, intrinsics, *published.shape[-2:], inputs=2, targets=[[2, 0], [1, 2]])
    centres = torch.from_numpy(golden["out/extrinsics_c2w"])[:, :2, :, 3]
    unit = centres.abs().amax(dim=(1, 2))[:, None, None, None, None]
    expected = torch.stack([published[scene, places] for scene, places in enumerate(batch.targets)])
    expected = torch.cat([expected[:, :, :3] / unit, expected[:, :, 3:6], expected[:, :, 6:] / unit], dim=2)
    torch.testing.assert_close(batch.target_rays(), expected, rtol=1e-4, atol=2e-5)


def test_streaming_batches_have_one_length_and_the_order_of_time(shards):
    rules = {
        "any": DatasetConfig(str(shards), sampling={"rule": "unordered", "reverse": 0.5}),
        "back": DatasetConfig(str(shards), sampling={"max": 1, "video": 1.0, "reverse": 0.5}),
    }
    streaming = config(shards, batches="streaming", views=(6, 6), train=rules)
    forward, backward = 0, 0
    for batch in ZooDataModule(streaming, total_steps=20).train_dataloader():
        assert batch.frames.shape == (4, 6)
        steps = batch.frames.diff(dim=1)
        forward += int((steps > 0).all(dim=1).sum())
        backward += int((steps < 0).all(dim=1).sum())
    assert forward + backward == 80 and backward > 5


def test_streaming_batches_keep_the_order_of_the_draw_if_asked_to(shards):
    rules = {"any": DatasetConfig(str(shards), sampling={"rule": "unordered"})}
    published = config(shards, batches="streaming", time_order=False, views=(6, 6), train=rules)
    drawn = config(shards, views=(6, 6), train=rules)
    kept, plain = (next(iter(ZooDataModule(each, total_steps=1).train_dataloader())) for each in (published, drawn))
    assert torch.equal(kept.frames, plain.frames) and (plain.frames.diff(dim=1) < 0).any()
