"""Train one stage: data, model, callbacks, trainer, validate, fit, validate. `zipmap fit` and train.py end here."""

import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf

from zipmap_pl.checkpoints.folder import find_checkpoint, latest_checkpoint, read_manifest, read_optimizer
from zipmap_pl.checkpoints.load import load_weights
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.errors import UserError
from zipmap_pl.metrics.reconstruction import BASELINE
from zipmap_pl.training.callbacks import Checkpoints, Pictures, StepProgress
from zipmap_pl.training.config import RunConfig, to_yaml
from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.signals import Signals
from zipmap_pl.training.strategies import World, build_strategy, world_of

log = logging.getLogger(__name__)


@dataclass
class FitResult:
    """Where a run left its things, and what held-out scenes said before and after. Metrics are empty without validation data."""

    output: Path
    checkpoint: Path
    steps: int
    before: dict[str, float]
    after: dict[str, float]

    def summary(self) -> str:
        """A few lines for the terminal."""
        lines = [f"{self.steps} steps done; checkpoint {self.checkpoint}", f"watch: tensorboard --logdir {self.output}"]
        for name in (name for name in self.after if not name.endswith(BASELINE)):
            before = f"{self.before[name]:.3f} before, " if name in self.before else ""
            baseline = self.after[name + BASELINE]
            lines.append(f"held-out {name}: {before}{self.after[name]:.3f} now; {baseline:.3f} for knowing nothing")
        return "\n".join(lines)


def fit(config: RunConfig) -> FitResult:
    """Train the stage of `config`, going on from the newest checkpoint of its output folder if there is one.

    A run that goes on follows the settings it is given now; those that changed are named in the log.

    Raises:
        UserError: data missing, checkpoint damaged or made with another model, settings that do not fit each other.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is written.
    """
    output = Path(config.output)
    world = world_of(config.trainer)
    lightning.seed_everything(config.seed, workers=False, verbose=False)
    data = ZooDataModule(config.data, total_steps=config.stage.steps)
    data.setup("fit")
    module = ZipMapModule(config)
    _restore(module, config, output)
    data.start_step = module.step
    _leave_cores_to_the_loader(config.data.workers, world.devices)
    trainer = _trainer(config, world, output, data, module.step)
    if trainer.is_global_zero:
        _keep_settings(output / "settings.yaml", to_yaml(config))
    try:
        before = _validate(trainer, module, data) if module.step == 0 else {}
        if module.step < config.stage.steps:
            trainer.fit(module, datamodule=data)
        after = module.validation if module.validated_step == module.step else _validate(trainer, module, data)
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C and SIGTERM
        raise KeyboardInterrupt from stopped
    except RuntimeError as error:  # what torch makes of a loader's worker that got the SIGTERM too
        if trainer.received_sigterm:
            raise KeyboardInterrupt from error
        raise
    return FitResult(output, find_checkpoint(output), module.step, before, after)


def _leave_cores_to_the_loader(workers: int, processes: int) -> None:
    """On a CPU the model's threads and the loader's workers share the cores; more of both than cores slows both down."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes - workers))


def _restore(module: ZipMapModule, config: RunConfig, output: Path) -> None:
    """Take over the newest checkpoint of this run, or the weights that the run starts from."""
    newest = latest_checkpoint(output / "checkpoints")
    if newest is None:
        if config.init_from is not None:
            start = find_checkpoint(Path(config.init_from))
            load_weights(module.model, start)
            log.info("starting from the weights of %s", start)
        return
    manifest = read_manifest(newest)
    differs = [
        f"{name} {found}, asked for {wanted}"
        for name, found, wanted in (
            ("stage", manifest.stage, config.stage.name),
            *_changes({"model": asdict(manifest.model)}, {"model": asdict(config.model)}),
        )
        if found != wanted
    ]
    if differs:
        raise UserError(
            f"{output}: holds a run of {'; '.join(differs)}; choose another folder (output=...) or remove this one"
        )
    load_weights(module.model, newest)
    module.saved_optimizer = read_optimizer(newest)
    module.step, module.skipped = manifest.step, manifest.skipped
    log.info("going on from %s", newest)


def _keep_settings(path: Path, settings: str) -> None:
    """Write the run's settings beside its results; say what has changed since they were last written."""
    if path.is_file():
        before, now = (OmegaConf.to_container(OmegaConf.create(text)) for text in (path.read_text(), settings))
        for name, old, new in _changes(cast(dict, before), cast(dict, now)):
            log.info("changed since this run was last started: %s is %s, was %s", name, new, old)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(settings)


def _changes(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, old and new value of all that differs; None where there is none."""
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new


def _trainer(config: RunConfig, world: World, output: Path, data: ZooDataModule, first_step: int) -> lightning.Trainer:
    settings = config.trainer
    on_gpu = settings.accelerator == "gpu" or (settings.accelerator == "auto" and torch.cuda.is_available())
    if on_gpu and world.devices > torch.cuda.device_count():
        raise UserError(
            f"trainer.devices={world.devices} on accelerator={settings.accelerator}: found "
            f"{torch.cuda.device_count()} CUDA GPUs; ask for fewer, or for trainer.accelerator=cpu"
        )
    by_device = "bf16-mixed" if on_gpu else "32-true"
    # What was logged after the checkpoint that a run goes on from is logged again: TensorBoard forgets the first time.
    logger = TensorBoardLogger(
        output, "tensorboard", "", default_hp_metric=False, purge_step=first_step + 1 if first_step else None
    )
    checkpoints = Checkpoints(output / "checkpoints", settings.checkpoint_every, settings.keep_checkpoints, data)
    trainer = lightning.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=world.devices,
        num_nodes=world.nodes,
        strategy=build_strategy(settings.strategy, world),
        plugins=world.environment,
        precision=by_device if settings.precision == "auto" else settings.precision,  # type: ignore[arg-type]
        max_epochs=1,  # the loader ends after the stage's steps
        val_check_interval=settings.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=logger,
        callbacks=[
            StepProgress(),
            Pictures(settings.pictures_every, data),
            checkpoints,
            Signals(checkpoints),
        ],
        log_every_n_steps=1,  # Lightning warns of more than a stage has; the module logs by itself
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
    )
    trainer.fit_loop.epoch_loop.batch_progress.total.ready = first_step  # val_check_interval counts from here
    return trainer


def _validate(trainer: lightning.Trainer, module: ZipMapModule, data: ZooDataModule) -> dict[str, float]:
    if not data.config.validation:
        return {}
    trainer.validate(module, datamodule=data, verbose=False)
    return module.validation
