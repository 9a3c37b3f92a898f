"""The LightningDataModule: opens the datasets of a stage, says what it found, and hands out batches.

Use with `Trainer(use_distributed_sampler=False)`: which rank computes what is decided here (see `draws`).
"""

import logging
import resource
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, Dataset, Sampler

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.draws.draw import stage_number
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.draws.step_batches import TrainBatches, ValidationBatches
from zipmap_pl.datasets.format.index_check import open_checked
from zipmap_pl.datasets.format.remote_index import MissingDataset
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.loading.faults import FaultTally
from zipmap_pl.datasets.loading.last_samples import LastSamples
from zipmap_pl.datasets.loading.mixture import Mixture, SceneList
from zipmap_pl.datasets.loading.samples import Sample, TrainSamples, ValidationSamples, collate, start_worker
from zipmap_pl.datasets.loading.sequential import SequentialBatches
from zipmap_pl.datasets.remote.remote_files import RemoteConfig
from zipmap_pl.errors import UserError
from zipmap_pl.processes import require_main_guard

logger = logging.getLogger(__name__)


class ZooDataModule(LightningDataModule):
    """Batches of one stage.

    To resume, set `start_step` (constructor or attribute) to the number of optimiser steps that the stage has behind
    it, before the loader is made. Nothing else is restored, and nothing is saved.

    Args:
        config: all settings.
        start_step: first step of the stage to load.
        total_steps: number of steps of the stage; None = the loader never ends.
        run: seed, stage and patch size; None = those that a run has by default.

    Attributes:
        accumulation: micro-batches of each rank per optimiser step, if it is not the trainer that accumulates; set it
            before the loader is made.
        faults: what came of the draws of this rank in training.
    """

    def __init__(
        self,
        config: DataConfig,
        start_step: int = 0,
        total_steps: int | None = None,
        run: RunFacts | None = None,
    ) -> None:
        super().__init__()
        self.config, self.run = config, run or RunFacts()
        self.total_steps = total_steps
        self.accumulation: int | None = None
        self.start_step = start_step
        self.faults = FaultTally()
        self._last = LastSamples(0)
        self._train: list[SceneList] | None = None
        self._validation: list[SceneList] = []
        self._missing: list[str] = []

    @property
    def start_step(self) -> int:
        """First step that the next loader yields, unless training has gone further since."""
        return self._start_step

    @start_step.setter
    def start_step(self, step: int) -> None:
        self._start_step = step
        self._next_number = 0

    def begin(self, config: DataConfig, total_steps: int, run: RunFacts) -> None:
        """Continue with another stage, from its first step on: the next loaders are of its mixture and view sets."""
        self.config, self.run, self.total_steps, self.start_step = config, run, total_steps, 0
        self._train, self._validation, self._missing = None, [], []
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Open the datasets and log what was found, what is missing and the mixture that this makes.

        The process that starts a run checks their indexes (see `open_checked`), for all ranks and workers.

        Raises:
            UserError: a dataset is damaged or cannot be used, or is missing or unfinished and that is not allowed.
        """
        if self._train is not None:
            return
        _allow_many_files()
        missing: dict[str, str] = {}
        check = self._starts_the_run()
        train, self._validation = (
            _open(group, self.config.remote, missing, check) for group in (self.config.train, self.config.validation)
        )
        if missing and not self.config.allow_missing:
            raise UserError(_not_there(missing))
        self._train, self._missing = train, [f"left out: {reason}" for reason in missing.values()]
        if self._rank_and_world()[0] == 0:
            for line in self.describe():
                logger.info(line)

    def describe(self) -> list[str]:
        """One line per dataset: scenes, frames, share of the mixture; or why it is left out. Call `setup` first."""
        lines = []
        train = self._train or []
        for dataset, share in zip(train, Mixture(train).shares if train else (), strict=True):
            lines.append(f"train: {_describe(dataset, self.config.width)}, {100 * share:.1f} % of the samples")
        for dataset in self._validation:
            seen = "; these are training scenes, not held out" if self.config.is_trained_on(dataset.config) else ""
            lines.append(f"validation: {_describe(dataset, self.config.width)}{seen}")
        return lines + self._missing

    def train_dataloader(self) -> DataLoader[Sample]:
        """Training batches of this rank, from `start_step` on."""
        self._last = LastSamples(self.config.workers)
        samples, batches = self._train_samples(), self._train_batches()
        if self.config.reading == "sequential":
            return self._loader(SequentialBatches(self.config, self.run, self._train or [], batches, self._last))
        return self._loader(samples, batches)

    def describe_draws(self, samples: int = 1000) -> str:
        """How often each dataset comes in the next draws of this rank, beside its share of the mixture."""
        train = self._train_samples()
        requests = islice((request for batch in self._train_batches() for request in batch), samples)
        drawn = Counter(train.pick(request).dataset for request in requests)
        parts = [
            f"{dataset.slug} {100 * drawn[number] / drawn.total():.1f} % (share {100 * share:.1f} %)"
            for number, (dataset, share) in enumerate(zip(train.mixture.datasets, train.mixture.shares, strict=True))
        ]
        return f"drawn in the next {drawn.total():,} samples: {', '.join(parts)}"

    def last_samples(self, error: str) -> list[str]:
        """What workers were reading: of each that torch's error names, or of all, a line with step, slot and scene."""
        lines = []
        for process, step, slot, number, scene in self._last.of_processes(error):
            dataset = (self._train or [])[number]
            name = dataset.index.text("scene.name", scene)
            lines.append(f"worker {process} was at step {step}, slot {slot}: {dataset.slug}, scene {name}")
        return lines

    def lost_index(self) -> str | None:
        """What became of an index that is shorter now than when it was opened, in a line; None if none is."""
        opened = [*(self._train or []), *self._validation]
        return next((lost for dataset in opened if (lost := dataset.index.lost())), None)

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        """The fixed view sets of this rank; an empty list without validation datasets."""
        self.setup()
        if not self._validation:
            return []
        samples = ValidationSamples(self.config, self.run, self._validation)
        if len(samples) == 0:
            wanted = max(self.config.validation_sets.positions or [0])
            raise UserError(f"validation data: no scene has a frame {wanted}; lower validation_sets.positions")
        views = len(samples.picks[0].positions)
        scenes = max(1, self.config.images_per_gpu // views)
        return self._loader(samples, ValidationBatches(len(samples), scenes, *self._rank_and_world()))

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Note how far training has come and which shards were found damaged."""
        if self.trainer is not None:
            if not self.trainer.training:
                return batch
            self._next_number = batch.number + 1
        for fault in self.faults.add(len(batch.scene), batch.faults):
            logger.warning("%s (replaced by another draw; further faults of this shard are only counted)", fault)
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Pictures become float32 in [0, 1] on the device; they travel as uint8."""
        if batch.images.dtype == torch.uint8:
            batch.images = batch.images.float().div_(255)
        return batch

    def licences(self) -> dict[str, str]:
        """Slug -> licence notice of the datasets that are trained on."""
        return {dataset.slug: dataset.index.info["licence"] for dataset in self._train or []}

    def _micro_batches(self) -> int:
        if self.accumulation is not None:
            return self.accumulation
        return self.trainer.accumulate_grad_batches if self.trainer is not None else 1

    def _train_samples(self) -> TrainSamples:
        self.setup()
        if not self._train:
            found = f"all of {', '.join(sorted(self.config.train))} are missing" if self._missing else "none is given"
            raise UserError(f"data: no training dataset, {found}; list at least one that is there under data.train")
        return TrainSamples(self.config, self.run, self._train, last=self._last)

    def _train_batches(self) -> TrainBatches:
        rank, world = self._rank_and_world()
        accumulation = self._micro_batches()
        return TrainBatches(
            self.run.seed,
            stage_number(self.run.stage),
            self.config.shape_ranges(self.run.patch_size),
            rank,
            world,
            accumulation,
            self.total_steps,
            first_number=lambda: max(self.start_step * accumulation, self._next_number),
        )

    def _rank_and_world(self) -> tuple[int, int]:
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def _starts_the_run(self) -> bool:
        """Return True in rank 0; also before there is a trainer, when the environment says which rank this will be."""
        return self._rank_and_world()[0] == 0 and getattr(rank_zero_only, "rank", 0) == 0

    def _loader(self, samples: Dataset, batches: Sampler[Any] | None = None) -> DataLoader:
        """A loader of samples by requests, or of a dataset that makes batches by itself."""
        workers = self.config.workers
        if workers > 0:
            require_main_guard()
        how: dict[str, Any] = (
            {"batch_size": None, "collate_fn": _as_it_is}
            if batches is None
            else {"batch_sampler": batches, "collate_fn": collate}
        )
        return DataLoader(
            samples,
            **how,
            num_workers=workers,
            prefetch_factor=self.config.prefetch if workers > 0 else None,
            worker_init_fn=start_worker,
            pin_memory=torch.cuda.is_available(),
            # The loader draws seeds for its workers; from the global generator they would change the model's random
            # numbers.
            generator=torch.Generator().manual_seed(0),
        )


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _allow_many_files() -> None:
    """As many open files as the system grants: every mapped column of every dataset is one, 1024 is the usual limit."""
    granted = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, granted))


def open_dataset(config: DatasetConfig, remote: RemoteConfig | None = None, check: bool = False) -> SceneList:
    """The scenes of a dataset in shards, if asked for with its index checked. Raises UserError that says what to do."""
    return SceneList(config, (open_checked if check else ShardIndex.open)(config.path, remote))


def _open(
    group: dict[str, DatasetConfig], remote: RemoteConfig, missing: dict[str, str], check: bool
) -> list[SceneList]:
    """The datasets of a group; those that are not there, or unfinished, go to `missing` with the reason.

    By name: in which order a configuration lists its datasets must not change what is drawn.
    """
    opened = []
    for name in sorted(name for name, config in group.items() if config.weight > 0):
        try:
            opened.append(open_dataset(group[name], remote, check))
        except MissingDataset as error:
            missing[name] = str(error)
    return opened


def _not_there(missing: dict[str, str]) -> str:
    """What to say of missing datasets: of one why, of several which."""
    if len(missing) == 1:
        return next(iter(missing.values()))
    return (
        f"data: {len(missing)} datasets are missing or unfinished ({', '.join(missing)}); make them with `zipmap preprocess`,"
        " say where they are (data.shards=FOLDER), or go on without them (data.allow_missing=true)"
    )


def _describe(dataset: SceneList, width: int) -> str:
    config = dataset.config
    text = f"{dataset.slug} ({config.path}, {config.split}): {_count(len(dataset.scenes), 'scene')}"
    text += f", {_count(int(dataset.frame_counts.sum()), 'frame')}"
    if dataset.left_out:
        text += f", {_count(dataset.left_out, 'scene')} with fewer than {config.least_frames} frames left out"
    first_rows = dataset.index["scene.first_frame"][dataset.scenes]
    small = int(np.count_nonzero(dataset.index["frame.size"][first_rows, 1] < width))
    if small:
        text += f", pictures of {_count(small, 'scene')} enlarged to {width} pixels"
    return text


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
