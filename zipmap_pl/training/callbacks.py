"""What happens beside the steps: progress, checkpoints, pictures. Intervals count optimiser steps."""

# Lightning's hooks take any LightningModule; these callbacks serve ours alone and say so in their signatures.
# mypy: disable-error-code="override"

from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from zipmap_pl.checkpoints.folder import save_checkpoint
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.progress import Progress
from zipmap_pl.training.manifest import manifest_of
from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.picture_panel import picture_panel


class StepProgress(lightning.Callback):
    """One bar over the optimiser steps of the stage."""

    def on_train_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Start the bar at the step that the run resumes from."""
        self._progress = Progress(f"stage {module.config.stage.name}", module.config.stage.steps, done=module.step)
        if trainer.is_global_zero:
            self._progress.__enter__()

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """One step further."""
        if trainer.is_global_zero:
            self._progress.advance(f"loss {module.last_loss:.3f}")

    def teardown(self, trainer: lightning.Trainer, module: ZipMapModule, stage: str) -> None:
        """Give the terminal back, also after an error."""
        if hasattr(self, "_progress"):
            self._progress.__exit__(None, None, None)


class Checkpoints(lightning.Callback):
    """Writes a checkpoint folder every N steps and at the end."""

    def __init__(self, folder: Path, every: int, data: ZooDataModule) -> None:
        self.folder, self.every, self.data = folder, every, data

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Save when it is due."""
        if module.step % self.every == 0:
            self._save(trainer, module)

    def on_train_end(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Save the end of the stage."""
        self._save(trainer, module)

    def _save(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        if trainer.is_global_zero:
            counters = {"step": module.step, "skipped": module.skipped}
            optimizer = {"optimizer": trainer.optimizers[0].state_dict(), "counters": counters}
            save_checkpoint(self.folder, manifest_of(module, self.data), module.model.state_dict(), optimizer)


class Pictures(lightning.Callback):
    """Shows one fixed held-out scene in TensorBoard: pictures, true and predicted depth, camera paths from above."""

    def __init__(self, every: int, data: ZooDataModule) -> None:
        self.every, self.data = every, data

    def on_train_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Take the first validation batch, or the first training batch where there is no validation, as the fixed scene."""
        loader = self.data.val_dataloader() or self.data.train_dataloader()
        batch = module.transfer_batch_to_device(next(iter(loader)), module.device, 0)
        self._batch = self.data.on_after_batch_transfer(batch, 0)
        self._draw(trainer, module)

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Draw when it is due."""
        if module.step % self.every == 0 or module.step == module.config.stage.steps:
            self._draw(trainer, module)

    @torch.no_grad()
    def _draw(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        module.eval()
        with trainer.precision_plugin.forward_context():
            prediction = module(self._batch.images)
        module.train()
        title = f"{self._batch.dataset[0]} {self._batch.scene[0]}, step {module.step}"
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                panel = picture_panel(self._batch, prediction, title)
                logger.experiment.add_image("fixed scene", panel, module.step, dataformats="HWC")
