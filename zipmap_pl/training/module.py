"""The LightningModule: one optimiser step of a stage, and validation on fixed view sets."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from zipmap_pl.checkpoints.folder import read_averages, read_optimizer
from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.metrics.running_means import BASELINE
from zipmap_pl.metrics.validation import validation_metrics
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.parallel.strategies import gradient_exchange, share
from zipmap_pl.training.step.compilation import compile_blocks, compiled_graphs
from zipmap_pl.training.step.ema import Ema
from zipmap_pl.training.step.optimizer import build_optimizer, clip_by_module, restore_optimizer, set_learning_rates
from zipmap_pl.training.step.peak_memory import peak_memory
from zipmap_pl.training.step.suspects import Suspects


@dataclass
class MicroBatch:
    """What one micro-batch of the optimiser step under way has left: loss terms, and (dataset, name) of its scenes."""

    terms: dict[str, Tensor]
    scenes: list[tuple[str, str]]


@dataclass(frozen=True)
class Resume:
    """Where a stage begins or resumes. The defaults: at its first step, with a fresh optimizer.

    Attributes:
        step: optimizer steps of the stage that are done, skipped ones included.
        skipped: how many of them changed nothing.
        trained_on: dataset slug -> licence, of what the weights saw before this stage.
        checkpoint: folder that holds the state of the optimizer and the averages of the weights; read when these are made.
    """

    step: int = 0
    skipped: int = 0
    trained_on: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Path | None = None


class ZipMapModule(lightning.LightningModule):
    """Trains `model` on one stage, and on others after it that need the same modules (`begin`).

    The step is written out (manual optimisation), because a stage needs its own clipping per module and its own answer to numbers
    that are not finite: the step is then skipped by all ranks, counted, and the schedule goes on.

    Attributes:
        config: the run's settings, with the stage that is trained.
        accumulation: micro-batches of each rank per optimiser step.
        step: optimiser steps of the stage that are done, skipped ones included.
        step_ended: the batch before was the last one of its step.
        skipped: how many steps of the stage changed nothing.
        whole: weights, optimiser and counters belong to the same step; False inside the update.
        ema: averages of the weights; None before training and where the stage keeps none.
        resume: where the stage began in this process.
        last_loss: total loss of the last step.
        validation: what the last validation said of the weights, metric by name, and `validated_step`, when that was.
    """

    def __init__(self, config: RunConfig, model: ZipMap, resume: Resume) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        if config.trainer.compile:
            compile_blocks(self.model)
        self.suspects = Suspects()
        self.accumulation = 1
        self.begin(config, resume)

    def begin(self, config: RunConfig, resume: Resume) -> None:
        """Get ready for a stage: losses, reference view, counters. `configure_optimizers` does the rest."""
        self.config, self.resume = config, resume
        self.model.set_reference_view(config.model.reference_view)
        query = QueryLoss(config.stage.loss) if config.data.batches == "state_query" else None
        self.loss = ReconstructionLoss(config.stage.loss, query, config.model.reference_view).to(self.device)
        self.metrics, self.metrics_of_averages = (
            validation_metrics(query is not None, query and query.perceptual).to(self.device) for _ in range(2)
        )
        self.step = resume.step
        self.skipped = resume.skipped
        self.step_ended = False
        self.whole = True
        self.ema: Ema | None = None
        self.last_loss = float("nan")
        self.validation: dict[str, float] = {}
        self.validated_step: int | None = None
        self._micro_batches: list[MicroBatch] = []
        self._interval_start = time.monotonic()
        self._interval_images = 0
        self._drawn: Counter[str] = Counter()  # scenes of this process by dataset, since it runs this stage

    def forward(self, images: Tensor) -> Prediction:
        """Predict for images [B, S, 3, H, W] in [0, 1]."""
        return self.model(images)

    def predict(self, batch: Batch) -> Prediction:
        """What the model says of a batch of any kind: of its input views and, of a state-query batch, its targets.

        A streaming model takes the views one after another.
        """
        return self.model(batch.inputs().images, target_rays=None if batch.targets is None else batch.target_rays())

    def configure_model(self) -> None:
        """Shard the model where the strategy wants that: after its weights were loaded, before the optimiser is built."""
        share(self.model, self.trainer.strategy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with the groups of the stage, and averages next to it; with the state of the checkpoint that the run resumes from."""
        optimizer, checkpoint = build_optimizer(self.model, self.config.stage.optimizer), self.resume.checkpoint
        if checkpoint is not None:
            restore_optimizer(self.model, optimizer, read_optimizer(checkpoint))
        if self.config.stage.ema.decay > 0:
            self.ema = Ema(self.model, self.config.stage.ema)
            averages = None if checkpoint is None else read_averages(checkpoint)
            if averages is not None:
                self.ema.load(averages)
        return optimizer

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Forward and backward of one micro-batch; after the last one of a step the optimiser's step.

        Every process goes backward in every micro-batch, whatever its loss: the others wait for its gradients.
        """
        last = (batch.number + 1) % self.accumulation == 0
        self.step_ended = False
        terms = self.loss(self.predict(batch), *ground_truth(batch))
        with gradient_exchange(self.trainer.strategy, self.model, wanted=last):
            self.manual_backward(terms["total"] / self.accumulation)
        scenes = list(zip(batch.dataset, batch.scene, strict=True))
        self._drawn.update(batch.dataset)
        self._micro_batches.append(MicroBatch({name: value.detach() for name, value in terms.items()}, scenes))
        if last:
            self._update(batch)

    def _update(self, batch: Batch) -> None:
        """Take the step, or skip it on all ranks; count it."""
        stage, micro_batches = self.config.stage, self._micro_batches
        optimizer = cast(LightningOptimizer, self.optimizers())  # there is one
        rates = set_learning_rates(optimizer.optimizer, self.step, stage.steps, stage.optimizer)
        norms = clip_by_module(self.model, stage.optimizer)
        terms = {
            name: torch.stack([part.terms[name] for part in micro_batches]).mean() for name in micro_batches[0].terms
        }
        finite_losses, finite_gradients = self._judge(terms["total"], norms)
        finite = finite_losses and finite_gradients
        self.whole = False
        if finite:
            optimizer.step()
        else:
            self.skipped += 1
        if self.ema is not None:
            self.ema.update(self.step, changed=finite)
        self.step += 1
        self.whole = True
        optimizer.zero_grad(set_to_none=True)
        if not finite:
            # A loss that is not finite, here or elsewhere, spoils the gradients of all; without one, anybody may have.
            bad = [part for part in micro_batches if finite_losses or not torch.isfinite(part.terms["total"])]
            self.suspects.add(self.step, (scene for part in bad for scene in part.scenes))
        self._log(batch, terms, norms, rates)
        self._micro_batches = []
        self.step_ended = True

    def _judge(self, loss: Tensor, norms: Mapping[str, Tensor]) -> tuple[bool, bool]:
        """Whether the losses, and the gradients, are finite on every rank, so that all ranks do the same; keeps the loss.

        The one moment of a step in which a GPU is waited for.
        """
        finite = torch.stack([loss.isfinite(), torch.stack(list(norms.values())).isfinite().all()])
        bad = self.trainer.strategy.reduce((~finite).float(), reduce_op="sum")
        bad_losses, bad_gradients, self.last_loss = torch.cat([bad, loss[None]]).tolist()
        return bad_losses == 0, bad_gradients == 0

    def _log(self, batch: Batch, terms: dict[str, Tensor], norms: dict[str, Tensor], rates: dict[str, float]) -> None:
        """`batch`: the last micro-batch of the step; all have as many images."""
        images = batch.images.shape[0] * batch.images.shape[1] * self.accumulation
        self._interval_images += images
        if self.step % self.config.trainer.log_every and self.step != 1:
            return
        now = time.monotonic()
        # All processes get here; what is written is the mean over them, as is the gradient.
        means = {name: self.trainer.strategy.reduce(value, reduce_op="mean") for name, value in terms.items()}
        scalars = {f"loss/{name}": float(value) for name, value in means.items()}
        scalars |= {f"gradient_norm/{name}": float(value) for name, value in norms.items()}
        scalars |= {f"learning_rate/{name}": rate for name, rate in rates.items()}
        scalars |= {
            "data/views": batch.images.shape[1],
            "data/images": images,
            "data/valid_share": float(batch.mask.float().mean()),
            "steps/skipped": self.skipped,
            "steps/skipped_share": self.skipped / self.step,
            "speed/images_per_second": self._interval_images / max(now - self._interval_start, 1e-9),
            "speed/peak_memory_gib": peak_memory(self.device),
        }
        scalars |= {f"mixture/{slug}": count / self._drawn.total() for slug, count in self._drawn.items()}
        if self.config.trainer.compile:
            scalars["speed/compiled_graphs"] = compiled_graphs()
        self._interval_start, self._interval_images = now, 0
        self.log_scalars(scalars)

    def log_scalars(self, scalars: dict[str, float]) -> None:
        """Write scalars at the present step to every logger."""
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.step)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.metrics.reset()
        self.metrics_of_averages.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Compare the prediction for fixed view sets with the truth: of the weights, and of their averages if there are any."""
        self.metrics.update(self.predict(batch), batch)
        if self._averages_mean_something:
            with cast(Ema, self.ema).swapped_in():
                self.metrics_of_averages.update(self.predict(batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Keep and write the metrics; those of scenes that are trained on have names that say so."""
        self.validation = {name: float(value) for name, value in self.metrics.compute().items()}
        self.validated_step = self.step
        scenes = self.config.data.validated_scenes()
        where = "" if scenes == "held-out" else f"_on_{scenes.replace(' ', '_').replace('-', '_')}_scenes"
        self.log_scalars({f"validation{where}/{name}": value for name, value in self.validation.items()})
        if self._averages_mean_something:
            of_averages = {name: float(value) for name, value in self.metrics_of_averages.compute().items()}
            of_averages = {name: value for name, value in of_averages.items() if not name.endswith(BASELINE)}
            self.log_scalars({f"validation_ema{where}/{name}": value for name, value in of_averages.items()})

    @property
    def _averages_mean_something(self) -> bool:
        return self.ema is not None and self.ema.started(self.step)
