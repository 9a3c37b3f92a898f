"""What happens beside the steps: progress, checkpoints, pictures. Intervals count optimiser steps."""

# Lightning's hooks take any LightningModule; these callbacks serve ours alone and say so in their signatures.
# mypy: disable-error-code="override"

import logging
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn

from zipmap_pl.checkpoints.folder import (
    EMA,
    Figures,
    Manifest,
    SeenPictures,
    add_figures,
    path_of,
    save_checkpoint,
    set_aside,
)
from zipmap_pl.checkpoints.parts import by_parameter_and_kind
from zipmap_pl.checkpoints.sharded import save_sharded, together
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.loading.faults import TooManyFaults, list_of_faults, too_many
from zipmap_pl.errors import UserError
from zipmap_pl.progress import Progress
from zipmap_pl.training.config import TrainerConfig
from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.parallel.sharding import is_sharded
from zipmap_pl.training.step.optimizer import optimizer_state
from zipmap_pl.training.watching.fixed_scene import show_scene
from zipmap_pl.version import code_commit

log = logging.getLogger(__name__)


class StepProgress(lightning.Callback):
    """One bar over the optimiser steps of the stage, and one over the batches of each validation outside of it."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Start the bar of a stage at the step that the run resumes from."""
        self.teardown(trainer, module, "")
        self._start(trainer, Progress(f"stage {module.config.stage.name}", module.config.stage.steps, done=module.step))

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """One step further."""
        if self._bar is not None and module.step_ended:
            self._bar.advance(f"loss {module.last_loss:.3f}")

    def on_validation_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """A bar of its own outside of training; inside it, a word beside the bar."""
        if self._bar is None:
            batches = int(sum(trainer.num_val_batches))
            scenes = module.config.data.validated_scenes()
            self._start(trainer, Progress(f"{scenes} scenes, step {module.step}", batches))
        else:
            self._bar.note(f"looking at {module.config.data.validated_scenes()} scenes")

    def on_validation_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """One batch of validation further."""
        if self._bar is not None and trainer.state.fn == TrainerFn.VALIDATING:
            self._bar.advance()

    def teardown(self, trainer: lightning.Trainer, module: ZipMapModule, stage: str) -> None:
        """Give the terminal back."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None

    def on_exception(self, trainer: lightning.Trainer, module: ZipMapModule, exception: BaseException) -> None:
        """Give the terminal back before anybody writes to it."""
        self.teardown(trainer, module, "")

    def _start(self, trainer: lightning.Trainer, bar: Progress) -> None:
        if trainer.is_global_zero:
            self._bar = bar.__enter__()


class Checkpoints(lightning.Callback):
    """Writes a checkpoint folder below the stage's output every N steps, at its end, and when the run is stopped.

    Several processes save together; only at the end of a step do they all get here (see `signals`).

    Args:
        config: when, how many to keep, and whether one that is due in between may fail.
        damaged: checkpoints of this run that turned out to be none; they are set aside before others take their places.
    """

    def __init__(self, config: TrainerConfig, data: ZooDataModule, damaged: Sequence[Path] = ()) -> None:
        self.config, self.data, self.damaged = config, data, damaged

    def setup(self, trainer: lightning.Trainer, module: ZipMapModule, stage: str) -> None:
        """The first thing that processes do together. Raises UserError if they go on from different checkpoints."""
        steps = together(lambda: module.step) if trainer.world_size > 1 else [module.step]
        if len(set(steps)) > 1:
            raise UserError(
                f"{module.config.output}: process 0 found the checkpoint of step {steps[0]}, others that of "
                f"{', '.join(str(step) for step in sorted(set(steps) - {steps[0]}))} (0: none); expected the same everywhere; "
                "give all nodes one folder that they share (output=...)"
            )

    def on_train_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """All processes have read what they go on from."""
        for checkpoint in self.damaged if trainer.is_global_zero else ():
            log.warning("the damaged checkpoint is now called %s", set_aside(checkpoint))

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Save when it is due."""
        if not module.step_ended or module.step % self.config.checkpoint_every:
            return
        try:
            self.save(trainer, module)
        except OSError as error:  # on all processes alike
            if self.config.checkpoint_or_stop:
                raise
            log.error("step %d: going on without this checkpoint (%s)", module.step, error)

    def on_validation_end(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Give the figures to the checkpoint of this step, which was written before."""
        figures = self._figures(module)
        if trainer.is_global_zero and figures is not None:
            try:
                add_figures(path_of(Path(module.config.output) / "checkpoints", module.step), figures)
            except (OSError, UserError) as error:
                log.warning(
                    "step %d: its checkpoint stays without the figures of its validation (%s)", module.step, error
                )

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Save the end of the stage."""
        self.save(trainer, module)

    def on_exception(self, trainer: lightning.Trainer, module: ZipMapModule, exception: BaseException) -> None:
        """Save on Ctrl-C and SIGTERM, unless they came in the middle of an update: then the last checkpoint counts."""
        stopped = isinstance(exception, KeyboardInterrupt) or trainer.received_sigterm
        if (
            stopped
            and trainer.world_size == 1
            and trainer.state.fn == TrainerFn.FITTING
            and module.step > 0
            and module.whole
        ):
            self.save(trainer, module)
            log.info("stopped after step %d; the checkpoint is written", module.step)

    def save(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Save now; called by all processes. Raises OSError, on all of them, if one could not write."""
        weights, manifest = module.model.state_dict(), self._manifest(module)
        state = optimizer_state(module.model, trainer.optimizers[0])
        averages = None if module.ema is None else module.ema.averages
        folder, keep = Path(module.config.output) / "checkpoints", self.config.keep_checkpoints

        def save_whole() -> None:
            if trainer.is_global_zero:
                save_checkpoint(folder, manifest, weights, state, keep, averages)

        if is_sharded(module.model):
            groups = {"weights": weights, "optimizer": by_parameter_and_kind(state)}
            save_sharded(folder, manifest, groups if averages is None else groups | {EMA: averages}, keep)
        elif trainer.world_size > 1:
            together(save_whole)  # nobody looks for a checkpoint that is not there yet
        else:
            save_whole()

    def _manifest(self, module: ZipMapModule) -> Manifest:
        config = module.config
        pictures = SeenPictures(config.data.width, config.data.aspect, config.data.views)
        return Manifest(
            module.step,
            module.skipped,
            config.stage.name,
            config.model,
            pictures,
            trained_on={**module.resume.trained_on, **self.data.licences()},
            terms=module.model.terms,
            validation=self._figures(module),
            commit=code_commit(),
        )

    @staticmethod
    def _figures(module: ZipMapModule) -> Figures | None:
        """The last validation; values that are not finite, which JSON has no way to write, are left out."""
        values = {name: value for name, value in module.validation.items() if math.isfinite(value)}
        if module.validated_step is None or not values:
            return None
        return Figures(module.validated_step, module.config.data.validated_scenes(), values)


class Faults(lightning.Callback):
    """Shows how many draws of all ranks met unreadable data and were replaced; stops all ranks where that is too many."""

    def __init__(self, every: int, data: ZooDataModule) -> None:
        self.every, self.data = every, data

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Count when it is due. Raises TooManyFaults, on all ranks alike, with the list of the worst files."""
        if not module.step_ended or (module.step % self.every and module.step not in (1, module.config.stage.steps)):
            return
        mine = torch.tensor([self.data.faults.faults, self.data.faults.draws], device=module.device, dtype=torch.double)
        faults, draws = map(int, trainer.strategy.reduce(mine, reduce_op="sum").tolist())
        module.log_scalars({"data/faults": faults, "data/fault_share": faults / max(draws, 1)})
        share = self.data.config.max_fault_share
        if too_many(faults, draws, share):
            raise TooManyFaults(list_of_faults(faults, draws, share, self._files(trainer.world_size)))

    def _files(self, world: int) -> Counter[str]:
        """Faults of all ranks by file."""
        everybody: list[Counter[str]] = [self.data.faults.files] * world
        if world > 1:
            torch.distributed.all_gather_object(everybody, self.data.faults.files)
        return sum(everybody, Counter())


class SkippedSteps(lightning.Callback):
    """Stops all ranks alike after `limit` steps in a row that changed nothing: the steps after them will not either."""

    def __init__(self, limit: int) -> None:
        self.limit, self._in_a_row, self._before = limit, 0, 0

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Count anew in every stage, and where a run goes on."""
        self._in_a_row, self._before = 0, module.skipped

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Count. Raises UserError where it is too much."""
        if not module.step_ended:
            return
        self._in_a_row = self._in_a_row + 1 if module.skipped > self._before else 0
        self._before = module.skipped
        if self._in_a_row >= self.limit:
            raise UserError(
                f"stage {module.config.stage.name}: loss or gradient of {self._in_a_row} steps in a row were not finite, up"
                f" to step {module.step}; {self.limit} in a row end a run (trainer.max_skipped); lower the learning rate"
                " (stage.optimizer), or look at the scenes that were named"
            )


class Pictures(lightning.Callback):
    """Shows one fixed scene in TensorBoard: depth, cameras, queried views and points, true and predicted."""

    def __init__(self, every: int, data: ZooDataModule) -> None:
        self.every, self.data = every, data

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Take the first validation batch, or the first training batch where there is no validation, as the fixed scene."""
        validation = self.data.val_dataloader()
        loader = validation or self.data.train_dataloader()
        self._scenes = self.data.config.validated_scenes() if validation else "training"
        batch = module.transfer_batch_to_device(next(iter(loader)), module.device, 0)
        self._batch = self.data.on_after_batch_transfer(batch, 0)
        if module.step == 0:
            self._draw(trainer, module)

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Draw when it is due."""
        if not module.step_ended:
            return
        if module.step % self.every == 0 or module.step == module.config.stage.steps:
            self._draw(trainer, module)

    @torch.no_grad()
    def _draw(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        module.eval()
        with trainer.precision_plugin.forward_context():
            prediction = module.predict(self._batch)
        module.train()
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                show_scene(logger.experiment, self._batch, prediction, module.step, self._scenes)


class ValidateWhenDue(lightning.Callback):
    """Lets Lightning validate after every N optimiser steps of a stage, and after its last one."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Lightning looks at its interval, counted in batches, right after this."""
        last = module.step == module.config.stage.steps
        due = module.step_ended and (last or module.step % self.every == 0)
        trainer.val_check_batch = 1 if due else sys.maxsize
