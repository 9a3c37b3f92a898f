"""Stages: what has to fit before one starts, and the switch to the next one in the model that is being trained."""

# Lightning's hooks take any LightningModule; this callback serves ours alone and says so in its signatures.
# mypy: disable-error-code="override"

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning
from lightning.pytorch.loggers import TensorBoardLogger

from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import mixers_with
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.module import Resume, ZipMapModule
from zipmap_pl.training.run_settings import keep_settings
from zipmap_pl.training.without_effect import rates_without_effect

PUBLISHED_RANKS, PUBLISHED_IMAGES = 64, 48

log = logging.getLogger(__name__)


def check_stage(config: RunConfig) -> None:
    """Raise UserError where the model cannot do what the stage's batches ask for."""
    kind, model = config.data.batches, config.model
    if kind == "streaming" and not model.streaming:
        raise UserError(
            f"settings: data.batches=streaming with model.camera_head.kind={model.camera_head.kind} and "
            f"global_mixer={model.global_mixer}, expected mlp and {mixers_with('streams')}; model=zipmap_streaming has both"
        )
    if kind == "state_query" and not model.query_head:
        raise UserError(
            "settings: data.batches=state_query with model.query_head=false, expected true; model=zipmap_query has it"
        )


def same_modules(one: RunConfig, other: RunConfig) -> bool:
    """Whether one stage can go on in the model of the other; the reference view is a flag, not a module."""
    return replace(one.model, reference_view=other.model.reference_view) == other.model


def accumulation_for(config: RunConfig, world: int) -> int:
    """Micro-batches of a rank per optimiser step, so that all ranks together see at least `trainer.global_images`."""
    wanted = config.trainer.global_images
    return 1 if wanted is None else math.ceil(wanted / (config.data.images_per_gpu * world))


def batch_line(config: RunConfig, world: int) -> str:
    """What an optimiser step sees, beside the published batch."""
    micro, images = accumulation_for(config, world), config.data.images_per_gpu
    return (
        f"stage {config.stage.name}: {config.stage.steps:,} steps of up to {world} x {micro} x {images} = "
        f"{world * micro * images:,} images (ranks x micro-batches x images); published: {PUBLISHED_RANKS} x "
        f"{PUBLISHED_IMAGES} = {PUBLISHED_RANKS * PUBLISHED_IMAGES:,}"
    )


def begin_stage(config: RunConfig, module: ZipMapModule, data: ZooDataModule, trainer: lightning.Trainer) -> None:
    """Tell module and data how many micro-batches make a step, write the settings, say what comes."""
    module.accumulation = data.accumulation = accumulation_for(config, trainer.world_size)
    if trainer.is_global_zero:
        keep_settings(Path(config.output) / "settings.yaml", config)
        log.info("%s", batch_line(config, trainer.world_size))
        trained = (name for name, parameter in module.model.named_parameters() if parameter.requires_grad)
        for line in rates_without_effect(config, trained):
            log.warning("%s", line)


def stage_logger(config: RunConfig, first_step: int) -> TensorBoardLogger:
    """TensorBoard below the stage's folder.

    What was logged after the checkpoint that a run goes on from is logged again: TensorBoard forgets the first time. Where
    a run was killed before its first checkpoint, that is everything.
    """
    purge = first_step + 1 if first_step else 0
    return TensorBoardLogger(config.output, "tensorboard", "", default_hp_metric=False, purge_step=purge)


class StageSwitch(lightning.Callback):
    """At the end of a stage goes on with the next one in the running model: an epoch of Lightning's is a stage of ours.

    Mixture, losses, reference view and schedule change, the optimiser and the averaged weights start fresh. Put it
    behind the callback that writes checkpoints: the end of every stage is one.
    """

    def __init__(self, following: Sequence[RunConfig], data: ZooDataModule) -> None:
        self.following, self.data = list(following), data

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Switch if the stage is done and another one follows."""
        done = module.config.stage
        if not self.following or module.step < done.steps:
            return
        config = self.following.pop(0)
        log.info(
            "stage %s is done after %d steps; %s goes on in the same model", done.name, done.steps, config.stage.name
        )
        module.begin(config, Resume(trained_on={**module.resume.trained_on, **self.data.licences()}))
        self.data.begin(config.data, config.stage.steps, config.facts())
        begin_stage(config, module, self.data, trainer)
        trainer.optimizers = [module.configure_optimizers()]
        for logger in trainer.loggers:
            logger.finalize("success")
        trainer.loggers = [stage_logger(config, 0)] if trainer.loggers else []
