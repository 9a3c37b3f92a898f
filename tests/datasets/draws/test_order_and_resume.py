"""The order of the samples: whoever computes them, however often a run was stopped, and wherever it goes on."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from stamp_batches import plain, stamp_config
from torch.utils.data import DataLoader

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.draws.draw import DrawKey, Purpose, ShapeRanges
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.draws.step_batches import TrainBatches
from zipmap_pl.datasets.format.frame_reader import OpenFiles

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # this machine has fewer processors than workers


def as_rank(config, rank, world, accumulation=1, start_step=0, total_steps=None):
    """The data module of one rank out of several, without the others."""
    module = ZooDataModule(config, start_step=start_step, total_steps=total_steps)
    module.trainer = SimpleNamespace(
        global_rank=rank, world_size=world, accumulate_grad_batches=accumulation, training=True
    )
    return module


# Resume.


def resumed_in_the_middle(config, stop, more, ranks, workers):
    for world in ranks:
        for rank in range(world):
            whole = [plain(batch) for batch in as_rank(config, rank, world, total_steps=stop + more).train_dataloader()]
            assert len(whole) == stop + more and len({batch["images"] for batch in whole}) == stop + more
            for count in workers:
                config.workers = count
                again = as_rank(config, rank, world, start_step=stop, total_steps=stop + more).train_dataloader()
                assert [plain(batch) for batch in again] == whole[stop:], f"rank {rank} of {world}, {count} workers"
            config.workers = 0


def test_resume_with_ranks_and_workers(stamps):
    resumed_in_the_middle(stamp_config(stamps), stop=4, more=6, ranks=(1, 2), workers=(0, 2))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_resume_with_all_numbers_of_ranks_and_workers(stamps):
    resumed_in_the_middle(stamp_config(stamps), stop=40, more=64, ranks=(1, 2, 4, 8), workers=(0, 1, 2, 4))


def test_legs_with_other_workers_and_prefetch_make_the_unbroken_run(stamps):
    def leg(start, stop, **changes):
        loader = ZooDataModule(stamp_config(stamps, **changes), start_step=start, total_steps=12).train_dataloader()
        return [plain(batch) for batch in islice(loader, stop - start)]

    whole = leg(0, 12)
    assert len(whole) == 12
    legs = [
        leg(0, 0),
        leg(0, 1, workers=2),  # killed after the first batch
        leg(1, 5, workers=0),
        leg(5, 5, workers=1),  # killed before it came to anything
        leg(5, 11, workers=3, prefetch=1),
        leg(11, 12, workers=1, prefetch=7),
        leg(12, 12, workers=1),
    ]
    assert sum(legs, []) == whole
    assert leg(12, 99) == []


def test_iterating_again_goes_on_where_training_is(stamps):
    # As Lightning does at the end of its epochs: whether the workers stay or are made anew must not matter.
    whole = [plain(b) for b in ZooDataModule(stamp_config(stamps), total_steps=12).train_dataloader()]
    for persistent in (False, True):
        module = as_rank(stamp_config(stamps, workers=2), 0, 1, total_steps=12)
        ours = module.train_dataloader()
        loader = DataLoader(
            ours.dataset,
            batch_sampler=ours.batch_sampler,
            num_workers=2,
            collate_fn=ours.collate_fn,
            persistent_workers=persistent,
        )
        seen = []
        for length in (5, 4, 3):
            for batch in islice(loader, length):
                seen.append(plain(module.on_before_batch_transfer(batch, 0)))
        assert seen == whole


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_page_locked_batches_are_the_same(stamps, monkeypatch):
    pinned = list(ZooDataModule(stamp_config(stamps, workers=2), total_steps=6).train_dataloader())
    assert all(batch.images.is_pinned() and batch.frames.is_pinned() for batch in pinned)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pageable = list(ZooDataModule(stamp_config(stamps), total_steps=6).train_dataloader())
    assert [plain(batch) for batch in pinned] == [plain(batch) for batch in pageable]


class Recorder(LightningModule):
    """Learns nothing, remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown: list[tuple] = []

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        self.shown.append((batch.number, batch.scene, batch.frames.tolist(), float(batch.images.sum())))
        return self.weight * batch.images.mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_twice_in_other_epochs_of_lightning(stamps, tmp_path, workers):
    def leg(start, stop):
        module = ZooDataModule(stamp_config(stamps, workers=workers), start_step=start, total_steps=12)
        model, before = Recorder(), tmp_path / f"{start}.ckpt"
        trainer = Trainer(
            max_steps=stop,
            limit_train_batches=4,  # an epoch: the stops at 5 and 8 are in its middle and at its end
            limit_val_batches=0,
            use_distributed_sampler=False,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(model, module, ckpt_path=before if start else None, weights_only=None if start else True)
        trainer.save_checkpoint(tmp_path / f"{stop}.ckpt")
        return model.shown

    whole = leg(0, 12)
    assert [number for number, *_ in whole] == list(range(12))
    assert leg(0, 5) + leg(5, 8) + leg(8, 9) + leg(9, 12) == whole


# Another number of ranks.


@pytest.mark.parametrize("worlds", [(8, 2, 8), (4, 1), (1, 4), (2, 8, 1, 4)])
def test_a_run_that_goes_on_with_other_ranks_sees_the_same_set_in_every_step(worlds):
    ranges = ShapeRanges((2, 24), (0.5, 1.0), 56, 14, 48)
    steps = 40

    def step_set(world, step):
        accumulation = 8 // world
        parts = [TrainBatches(7, 3, ranges, rank, world, accumulation, None, lambda: 0) for rank in range(world)]
        return [r for part in parts for micro in range(accumulation) for r in part.batch(step * accumulation + micro)]

    for step in range(steps):
        world = worlds[step * len(worlds) // steps]
        requests = step_set(world, step)
        draws = [(request.step, request.slot) for request in requests]
        assert len(set(draws)) == len(draws), "none twice"
        assert set(draws) == {(request.step, request.slot) for request in step_set(1, step)}, "none missing"
        assert len({(request.views, request.height, request.width) for request in requests}) == 1


def test_samples_do_not_depend_on_the_number_of_ranks(stamps):
    config = stamp_config(stamps)

    def step_sets(world):
        seen: dict[int, list] = {}
        for rank in range(world):
            for batch in as_rank(config, rank, world, 4 // world, total_steps=5).train_dataloader():
                samples = seen.setdefault(batch.number // (4 // world), [])
                for scene, frames, images in zip(batch.scene, batch.frames, batch.images, strict=True):
                    samples.append((scene, frames.tolist(), images.numpy().tobytes()))
        return {step: sorted(samples) for step, samples in seen.items()}

    assert step_sets(1) == step_sets(2) == step_sets(4)


def _two_ranks(rank: int, folder: str, config: object, start: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet{start}", rank=rank, world_size=2)
    digests = []
    for batch in ZooDataModule(config, start_step=start, total_steps=6).train_dataloader():
        digests.append(
            f"{batch.number} {batch.scene} {batch.frames.tolist()} {int(batch.images.sum(dtype=torch.int64))}"
        )
    Path(folder, f"rank-{rank}-{start}").write_text("\n".join(digests))
    torch.distributed.destroy_process_group()


def test_two_processes_with_two_workers_each_before_and_after_a_resume(stamps, tmp_path):
    context = multiprocessing.get_context("fork")  # torch need not be loaded again
    for start in (0, 3):
        settings = stamp_config(stamps, workers=2)
        ranks = [context.Process(target=_two_ranks, args=(rank, str(tmp_path), settings, start)) for rank in (0, 1)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(120)
        assert [process.exitcode for process in ranks] == [0, 0]
    told = {name.name: name.read_text().splitlines() for name in tmp_path.glob("rank-*")}
    for rank in (0, 1):
        assert told[f"rank-{rank}-3"] == told[f"rank-{rank}-0"][3:]
        wanted = [
            f"{batch.number} {batch.scene} {batch.frames.tolist()} {int(batch.images.sum(dtype=torch.int64))}"
            for batch in as_rank(stamp_config(stamps), rank, 2, total_steps=6).train_dataloader()
        ]
        assert told[f"rank-{rank}-0"] == wanted
    assert not set(told["rank-0-0"]) & set(told["rank-1-0"])


# Nothing else has a say.

HASHED = """
import sys, hashlib
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.draws.draw import stage_number
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.loading.mixture import SceneList
from zipmap_pl.datasets.loading.samples import TrainSamples, collate
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.draws.step_batches import TrainBatches

def digest_of(folder):
    rules = [{"rule": "unordered"}, {"max": 2}, {"rule": "covisibility_walk"}]
    datasets = [DatasetConfig(folder, sampling=rule) for rule in rules]
    config = DataConfig(width=14, aspect=[1.0, 1.0], views=[2, 4], images_per_gpu=8)
    samples = TrainSamples(config, RunFacts(), [SceneList(dataset, ShardIndex.open(folder)) for dataset in datasets])
    digest = hashlib.sha256()
    for requests in TrainBatches(42, stage_number("static"), config.shape_ranges(14), 0, 1, 1, 8, lambda: 0):
        batch = collate([samples[request] for request in requests])
        digest.update(repr((batch.dataset, batch.scene, batch.frames.tolist())).encode())
        digest.update(batch.images.numpy().tobytes() + batch.depth.numpy().tobytes())
    return digest.hexdigest()
"""


def test_another_hash_seed_and_time_zone_change_nothing(stamps):
    environment = os.environ | {"PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [sys.executable, "-c", f"{HASHED}\nprint(digest_of(sys.argv[1]))", str(stamps)]
    there = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    here: dict = {}
    exec(HASHED, here)
    assert there.strip() == here["digest_of"](str(stamps))


@pytest.mark.parametrize("start_step", [1, 1_000_000, 10**9])
def test_going_on_late_costs_as_much_as_starting(stamps, monkeypatch, start_step):
    work = []
    read, generator = OpenFiles.read, DrawKey.generator

    def counted_read(self, *arguments):
        work.append("read")
        return read(self, *arguments)

    def counted_draw(self, purpose: Purpose) -> np.random.Generator:
        work.append("draw")
        return generator(self, purpose)

    monkeypatch.setattr(OpenFiles, "read", counted_read)
    monkeypatch.setattr(DrawKey, "generator", counted_draw)

    def first_batch(start):
        work.clear()
        batch = next(iter(ZooDataModule(stamp_config(stamps, views=[4, 4]), start_step=start).train_dataloader()))
        assert batch.number == start
        return sorted(work)

    assert first_batch(start_step) == first_batch(0)
    assert len(work) < 60


def test_the_numbers_of_a_batch_are_those_of_the_first_release(stamps):
    # Scenes and frames only: pictures may change when a codec does. See also the draws' own numbers.
    loader = ZooDataModule(stamp_config(stamps), total_steps=50, run=RunFacts(seed=5)).train_dataloader()
    shown = [(batch.number, batch.scene, batch.frames.tolist()) for batch in loader]
    assert hashlib.sha256(repr(shown).encode()).hexdigest()[:16] == "b2739818d9061be9"
