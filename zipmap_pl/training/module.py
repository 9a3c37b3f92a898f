"""The LightningModule: one optimiser step of a stage, and validation on fixed view sets."""

import time
from collections.abc import Mapping
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from zipmap_pl.datasets.batch import Batch
from zipmap_pl.losses.normalisation import normalise
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.metrics.reconstruction import ReconstructionMetric
from zipmap_pl.models.prediction import Prediction
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.optimizer import build_optimizer, clip_by_module, restore_optimizer, set_learning_rates
from zipmap_pl.training.strategies import share


class ZipMapModule(lightning.LightningModule):
    """Trains a `ZipMap` on one stage.

    The step is written out (manual optimisation), because a stage needs its own clipping per module and its own answer to numbers
    that are not finite: the step is then skipped by all ranks, counted, and the schedule goes on.

    Attributes:
        step: optimiser steps of the stage that are done, skipped ones included.
        skipped: how many of them changed nothing.
        whole: weights, optimiser and counters belong to the same step; False inside the update.
        saved_optimizer: state for the optimiser when it is built (see `optimizer_state`); None = a fresh one.
        faults: draws of this process that met unreadable data and were replaced.
        last_loss: total loss of the last step.
        validation: what the last validation said, metric by name, and `validated_step`, when that was.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.model = ZipMap(config.model)
        self.loss = ReconstructionLoss(config.stage.loss)
        self.metrics = ReconstructionMetric()
        self.step = 0
        self.skipped = 0
        self.whole = True
        self.saved_optimizer: Mapping[str, dict[str, Any]] | None = None
        self.faults = 0
        self.last_loss = float("nan")
        self.validation: dict[str, float] = {}
        self.validated_step: int | None = None
        self._interval_start = time.monotonic()
        self._interval_images = 0

    def forward(self, images: Tensor) -> Prediction:
        """Predict for images [B, S, 3, H, W] in [0, 1]."""
        return self.model(images)

    def configure_model(self) -> None:
        """Shard the model where the strategy wants that: after its weights were loaded, before the optimiser is built."""
        share(self.model, self.trainer.strategy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with the groups of the stage, and the state of the checkpoint that the run goes on from."""
        optimizer = build_optimizer(self.model, self.config.stage.optimizer)
        if self.saved_optimizer is not None:
            restore_optimizer(self.model, optimizer, self.saved_optimizer)
            self.saved_optimizer = None
        return optimizer

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Forward, backward and one optimiser step."""
        stage = self.config.stage
        optimizer = cast(LightningOptimizer, self.optimizers())  # there is one
        rates = set_learning_rates(optimizer.optimizer, self.step, stage.steps, stage.optimizer)
        terms = self.loss(self.model(batch.images), normalise(batch))
        norms: dict[str, Tensor] = {}
        if self._all_ranks_finite(terms["total"]):
            self.manual_backward(terms["total"])
            norms = clip_by_module(self.model, stage.optimizer)
        finite = bool(norms) and self._all_ranks_finite(*norms.values())
        self.whole = False
        if finite:
            optimizer.step()
        else:
            self.skipped += 1
        self.step += 1
        self.whole = True
        optimizer.zero_grad(set_to_none=True)
        self.faults += len(batch.faults)
        self.last_loss = float(terms["total"].detach())
        self._log(batch, terms, norms, rates)

    def _all_ranks_finite(self, *values: Tensor) -> bool:
        """Whether the values are finite on every rank, so that all ranks do the same."""
        bad = torch.stack([~torch.isfinite(value.detach()) for value in values]).any().float()
        return float(self.trainer.strategy.reduce(bad, reduce_op="sum")) == 0

    def _log(self, batch: Batch, terms: dict[str, Tensor], norms: dict[str, Tensor], rates: dict[str, float]) -> None:
        self._interval_images += batch.images.shape[0] * batch.images.shape[1]
        if self.step % self.config.trainer.log_every and self.step != 1:
            return
        now = time.monotonic()
        # All processes get here; what is written is the mean over them, as is the gradient.
        means = {name: self.trainer.strategy.reduce(value.detach(), reduce_op="mean") for name, value in terms.items()}
        scalars = {f"loss/{name}": float(value) for name, value in means.items()}
        scalars |= {f"gradient_norm/{name}": float(value) for name, value in norms.items()}
        scalars |= {f"learning_rate/{name}": rate for name, rate in rates.items()}
        scalars |= {
            "data/views": batch.images.shape[1],
            "data/images": batch.images.shape[0] * batch.images.shape[1],
            "data/valid_share": float(batch.mask.float().mean()),
            "data/faults": self.faults,
            "steps/skipped": self.skipped,
            "speed/images_per_second": self._interval_images / max(now - self._interval_start, 1e-9),
        }
        self._interval_start, self._interval_images = now, 0
        self.log_scalars(scalars)

    def log_scalars(self, scalars: dict[str, float]) -> None:
        """Write scalars at the present step to every logger."""
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.step)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.metrics.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Compare the prediction for fixed view sets with the truth."""
        self.metrics.update(self.model(batch.images), batch)

    def on_validation_epoch_end(self) -> None:
        """Keep and write the metrics."""
        self.validation = {name: float(value) for name, value in self.metrics.compute().items()}
        self.validated_step = self.step
        self.log_scalars({f"validation/{name}": value for name, value in self.validation.items()})
