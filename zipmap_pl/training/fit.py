"""Train one stage: data, model, callbacks, trainer, validate, fit, validate. `zipmap fit` and train.py end here."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch

from zipmap_pl.changes import changes
from zipmap_pl.checkpoints.folder import (
    check_files,
    checkpoints_of,
    find_checkpoint,
    latest_checkpoint,
    read_manifest,
)
from zipmap_pl.checkpoints.load import load_weights
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.errors import DamagedFile, UserError
from zipmap_pl.metrics.running_means import BASELINE
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.module import Resume, ZipMapModule
from zipmap_pl.training.parallel.run_folder import run_folder
from zipmap_pl.training.parallel.strategies import World, build_strategy, is_first, meet, world_of
from zipmap_pl.training.stages import StageSwitch, begin_stage, check_stage, stage_logger
from zipmap_pl.training.watching.callbacks import (
    Checkpoints,
    Faults,
    Pictures,
    SkippedSteps,
    StepProgress,
    ValidateWhenDue,
)
from zipmap_pl.training.watching.signals import Signals, warnings_ignored

log = logging.getLogger(__name__)


@dataclass
class FitResult:
    """Where a run left its things, and the metrics of validation before and after, which are empty without its data.

    `scenes` names the scenes of validation, see `DataConfig.validated_scenes`.
    """

    output: Path
    checkpoint: Path
    steps: int
    before: dict[str, float]
    after: dict[str, float]
    scenes: str = "held-out"

    def summary(self) -> str:
        """A few lines for the terminal."""
        lines = [f"{self.steps} steps done; checkpoint {self.checkpoint}", f"watch: tensorboard --logdir {self.output}"]
        of = "held-out " if self.scenes == "held-out" else f"{self.scenes} scenes, "
        for name in (name for name in self.after if not name.endswith(BASELINE)):
            before = f"{self.before[name]:.3f} before, " if name in self.before else ""
            baseline = self.after[name + BASELINE]
            lines.append(f"{of}{name}: {before}{self.after[name]:.3f} now; {baseline:.3f} for knowing nothing")
        return "\n".join(lines)


def fit(config: RunConfig, *following: RunConfig) -> FitResult:
    """Train the stage of `config`, going on from the newest checkpoint of its output folder if there is one.

    A damaged checkpoint is told in the log and set aside, and the one before it is gone on from.
    A run that goes on follows the settings it is given now; those that changed are named in the log. The stages that
    follow go on in the same model, each from its first step on (see `stages.StageSwitch`); the result is the last one's.

    Raises:
        UserError: another run holds an output folder;
            data missing, checkpoint damaged or made with another model, settings that do not fit each other.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is written.
    """
    for stage in (config, *following):
        check_stage(stage)
    with warnings_ignored(), ExitStack() as folders:
        if is_first(world_of(config.trainer)):  # the others belong to the run of the first
            for stage in (config, *following):
                folders.enter_context(run_folder(Path(stage.output)))
        return _fit(config, following)


def _fit(config: RunConfig, following: Sequence[RunConfig]) -> FitResult:
    world = world_of(config.trainer)
    lightning.seed_everything(config.seed, workers=False, verbose=False)
    data = ZooDataModule(config.data, total_steps=config.stage.steps, run=config.facts())
    data.setup("fit")
    model = ZipMap(config.model)
    resume, damaged = _restore(model, config, Path(config.output))
    module = ZipMapModule(config, model, resume)
    data.start_step = module.step
    _leave_cores_to_the_loader(config.data.workers, world.devices)
    checkpoints = Checkpoints(config.trainer, data, damaged)
    signals = Signals(checkpoints)
    trainer = _trainer(config, world, data, module.step, following, checkpoints, signals)
    begin_stage(config, module, data, trainer)
    try:
        before = _validate(trainer, module, data) if module.step == 0 else {}
        if module.step < config.stage.steps:
            trainer.fit(module, datamodule=data)
        after = module.validation if module.validated_step == module.step else _validate(trainer, module, data)
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C and SIGTERM
        raise KeyboardInterrupt from stopped
    except (RuntimeError, ConnectionError, EOFError) as error:
        # A loader's worker that got the SIGTERM too, or died: torch tells, unless a batch was just being handed over.
        if signals.stopping or trainer.received_sigterm:
            raise KeyboardInterrupt from error
        if lost := data.lost_index():
            raise UserError(f"data: {lost}; then the same command goes on from the last checkpoint") from error
        handed_over = config.data.workers > 0 and not isinstance(error, RuntimeError)
        if handed_over or "DataLoader worker" in str(error):
            found = "a worker died while it handed over a batch." if handed_over else str(error).splitlines()[0]
            last = "".join(f" ({line})" for line in data.last_samples(str(error)))
            raise UserError(
                f"data: {found}{last} If the system ended it for want of memory, lower data.workers or"
                " data.prefetch; the same command goes on from the last checkpoint"
            ) from error
        raise
    output = Path(module.config.output)
    return FitResult(output, find_checkpoint(output), module.step, before, after, module.config.data.validated_scenes())


def _leave_cores_to_the_loader(workers: int, processes: int) -> None:
    """On a CPU the model's threads and the loader's workers share the cores; more of both than cores slows both down."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes - workers))


def _restore(model: ZipMap, config: RunConfig, output: Path) -> tuple[Resume, list[Path]]:
    """Load the weights of this run's newest whole checkpoint, or those that it starts from.

    Returns where the stage resumes, and the damaged checkpoints, which are newer.
    """
    newest = latest_checkpoint(output / "checkpoints")
    if newest is None:
        start = config.init_from
        return Resume() if start is None else Resume(trained_on=start_from(model, start).trained_on), []
    older = [checkpoint for checkpoint in checkpoints_of(newest.parent) if checkpoint < newest]
    damaged: list[Path] = []
    for checkpoint in (newest, *reversed(older)):
        try:
            return _resumed(checkpoint, model, config, output), damaged
        except DamagedFile as error:  # raised before anything that is written
            damaged.append(checkpoint)
            if len(damaged) > len(older):  # all of them: to start anew is for the user to say
                raise
            log.warning("%s: the checkpoint before it is gone on from", error)
    raise AssertionError("the loop returns or raises")


def _resumed(checkpoint: Path, model: ZipMap, config: RunConfig, output: Path) -> Resume:
    manifest = read_manifest(checkpoint)
    differs = [
        f"{name} {found}, asked for {wanted}"
        for name, found, wanted in (
            ("stage", manifest.stage, config.stage.name),
            *changes({"model": asdict(manifest.model)}, {"model": asdict(config.model)}),
        )
        if found != wanted
    ]
    if differs:
        raise UserError(
            f"{output}: holds a run of {'; '.join(differs)}; choose another folder (output=...) or remove this one"
        )
    check_files(checkpoint)
    load_weights(model, checkpoint)
    log.info("going on from %s", checkpoint)
    return Resume(manifest.step, manifest.skipped, manifest.trained_on, checkpoint)


def _trainer(
    config: RunConfig,
    world: World,
    data: ZooDataModule,
    first_step: int,
    following: Sequence[RunConfig],
    checkpoints: Checkpoints,
    signals: Signals,
) -> lightning.Trainer:
    settings = config.trainer
    on_gpu = settings.accelerator == "gpu" or (settings.accelerator == "auto" and torch.cuda.is_available())
    if on_gpu and world.devices > torch.cuda.device_count():
        raise UserError(
            f"trainer.devices={world.devices} on accelerator={settings.accelerator}: found "
            f"{torch.cuda.device_count()} CUDA GPUs; ask for fewer, or for trainer.accelerator=cpu"
        )
    meet(world, on_gpu)
    # Without effect on a CPU. Convolutions have it by default, products do not.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.tf32
    by_device = "bf16-mixed" if on_gpu else "32-true"
    return lightning.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=world.devices,
        num_nodes=world.nodes,
        strategy=build_strategy(settings.strategy, world),
        plugins=world.environment,
        precision=by_device if settings.precision == "auto" else settings.precision,  # type: ignore[arg-type]
        max_epochs=1 + len(following),  # an epoch is a stage: the loader ends after its steps
        reload_dataloaders_every_n_epochs=1 if following else 0,
        val_check_interval=1,  # ValidateWhenDue decides
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=stage_logger(config, first_step),
        callbacks=[
            StepProgress(),
            Faults(settings.log_every, data),
            SkippedSteps(settings.max_skipped),
            Pictures(settings.pictures_every, data),
            checkpoints,
            signals,
            ValidateWhenDue(settings.validate_every),
            StageSwitch(following, data),  # after Checkpoints
        ],
        log_every_n_steps=1,  # Lightning warns of more than a stage has; the module logs by itself
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
