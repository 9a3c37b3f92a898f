"""What operating system and schedulers tell a run, heard by one process or all, answered by all at the end of a step."""

# Lightning's hooks take any LightningModule; see `callbacks`.
# mypy: disable-error-code="override"

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning
import torch

from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.watching.callbacks import Checkpoints

log = logging.getLogger(__name__)

GO_ON, SAVE, STOP = range(3)  # the highest of what the processes heard counts


class Signals(lightning.Callback):
    """SIGUSR1 (SLURM's warning, `--signal=USR1@300`): a checkpoint after this step, and the run goes on.

    SIGTERM, and Ctrl-C with several processes: a checkpoint after this step, and all of them stop; the second one counts
    at once. (A single process is stopped by Lightning, by Ctrl-C at once, see `Checkpoints.on_exception`.) A process that
    is killed cannot tell the others: they wait for it until their launcher ends them, and the last checkpoint counts.

    Attributes:
        stopping: this process was told to stop.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.stopping = False
        self._alone = True
        self._heard = GO_ON
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: ZipMapModule) -> None:
        """Listen; Lightning's own answers to these signals would be collective calls in the middle of others."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._alone = trainer.world_size == 1
        heeded = [signal.SIGUSR1, signal.SIGTERM, *([] if self._alone else [signal.SIGINT])]
        self._before = {number: signal.signal(number, self._hear) for number in heeded}

    def on_train_batch_end(self, trainer: lightning.Trainer, module: ZipMapModule, *_: object) -> None:
        """Answer, all processes alike, between two steps."""
        if not module.step_ended:
            return
        heard = torch.tensor(self._heard, device=module.device)
        if trainer.world_size > 1:
            torch.distributed.all_reduce(heard, torch.distributed.ReduceOp.MAX)
        answer = int(heard)
        if answer == GO_ON:
            return
        self._heard = GO_ON
        self.checkpoints.save(trainer, module)
        if trainer.is_global_zero:
            log.info("told by a signal: the checkpoint of step %d is written", module.step)
        if answer == STOP:
            raise KeyboardInterrupt

    def teardown(self, trainer: lightning.Trainer, module: ZipMapModule, stage: str) -> None:
        """Listen no more."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._heard = max(self._heard, SAVE)
            return
        if self.stopping:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.stopping = True
        if self._alone:
            self._before[signal.Signals(number)](number, frame)
        else:
            self._heard = STOP


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Inside, SIGUSR1 does not end the process, which is what it does by itself: before training there is nothing to save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
