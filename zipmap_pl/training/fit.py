"""Train one stage: data, model, callbacks, trainer, validate, fit, validate. `zipmap fit` and train.py end here."""

import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from zipmap_pl.checkpoints.folder import find_checkpoint, latest_checkpoint, read_manifest, read_optimizer
from zipmap_pl.checkpoints.load import load_weights
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.errors import UserError
from zipmap_pl.training.callbacks import Checkpoints, Pictures, StepProgress
from zipmap_pl.training.config import RunConfig, to_yaml
from zipmap_pl.training.module import ZipMapModule

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
        for name in self.after:
            before = f"{self.before[name]:.3f} before, " if name in self.before else ""
            lines.append(f"held-out {name}: {before}{self.after[name]:.3f} now")
        return "\n".join(lines)


def fit(config: RunConfig) -> FitResult:
    """Train the stage of `config`, going on from the newest checkpoint of its output folder if there is one.

    Raises:
        UserError: data missing, checkpoint damaged or made with another model, settings that do not fit each other.
    """
    output = Path(config.output)
    lightning.seed_everything(config.seed, workers=False, verbose=False)
    data = ZooDataModule(config.data, total_steps=config.stage.steps)
    data.setup("fit")
    module = ZipMapModule(config)
    optimizer_state = _restore(module, config, output)
    _leave_cores_to_the_loader(config.data.workers)
    data.start_step = module.step
    output.mkdir(parents=True, exist_ok=True)
    (output / "settings.yaml").write_text(to_yaml(config))
    trainer = _trainer(config, output, data, optimizer_state)
    before = _validate(trainer, module, data) if module.step == 0 else {}
    if module.step < config.stage.steps:
        trainer.fit(module, datamodule=data)
        if trainer.interrupted:
            raise KeyboardInterrupt
    after = _validate(trainer, module, data)
    return FitResult(output, find_checkpoint(output), module.step, before, after)


def _leave_cores_to_the_loader(workers: int) -> None:
    """On a CPU the model's threads and the loader's workers share the cores; more of both than cores slows both down."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - workers))


def _restore(module: ZipMapModule, config: RunConfig, output: Path) -> dict | None:
    """Load the newest checkpoint of this run, or the weights that the run starts from. Returns the optimiser's state, if any."""
    newest = latest_checkpoint(output / "checkpoints")
    if newest is None:
        if config.init_from is not None:
            load_weights(module.model, find_checkpoint(Path(config.init_from)))
        return None
    manifest = read_manifest(newest)
    if manifest.stage != config.stage.name or manifest.model != asdict(config.model):
        raise UserError(
            f"{output}: holds a run of stage {manifest.stage} with {'the same' if manifest.model == asdict(config.model) else 'another'} "
            f"model, asked for stage {config.stage.name}; choose another folder (output=...) or remove this one"
        )
    load_weights(module.model, newest)
    state = read_optimizer(newest)
    module.step, module.skipped = state["counters"]["step"], state["counters"]["skipped"]
    log.info("going on from %s", newest)
    return state["optimizer"]


class _RestoreOptimizer(lightning.Callback):
    """Gives the optimiser its state once Lightning has built it."""

    def __init__(self, state: dict) -> None:
        self.state = state

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        trainer.optimizers[0].load_state_dict(self.state)


def _trainer(config: RunConfig, output: Path, data: ZooDataModule, optimizer_state: dict | None) -> lightning.Trainer:
    settings = config.trainer
    on_gpu = settings.accelerator in ("gpu", "cuda") or (settings.accelerator == "auto" and torch.cuda.is_available())
    precision = {True: "bf16-mixed", False: "32-true"}[on_gpu] if settings.precision == "auto" else settings.precision
    callbacks: list[lightning.Callback] = [
        StepProgress(),
        Pictures(settings.pictures_every, data),
        Checkpoints(output / "checkpoints", settings.checkpoint_every, data),
    ]
    if optimizer_state is not None:
        callbacks.append(_RestoreOptimizer(optimizer_state))
    return lightning.Trainer(
        accelerator=settings.accelerator if on_gpu else "cpu",
        devices=settings.devices,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=1,  # the loader ends after the stage's steps
        val_check_interval=settings.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(output, name="tensorboard", version="", default_hp_metric=False),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
    )


def _validate(trainer: lightning.Trainer, module: ZipMapModule, data: ZooDataModule) -> dict[str, float]:
    if not data.config.validation:
        return {}
    trainer.validate(module, datamodule=data, verbose=False)
    return module.validation
