"""What each of a loader's workers drew last, where it outlives the worker: a worker that the system kills can tell nothing."""

import os
import re

import torch
from torch.utils.data import get_worker_info

PROCESSES = re.compile(r"\(pid(?:\(s\))? ([\d, ]+)\)")  # in what torch says of workers that are gone


class LastSamples:
    """A row for each worker, in memory that it shares with the trainer: process, step, slot, dataset, scene.

    Written once a sample, which takes microseconds; read only when a worker is gone. Can be sent to other processes.
    """

    def __init__(self, workers: int) -> None:
        self._rows = torch.zeros((workers, 5), dtype=torch.int64).share_memory_()

    def note(self, step: int, slot: int, dataset: int, scene: int) -> None:
        """This worker begins with a sample: its draw, its place in the mixture, its scene's row of the index."""
        worker = get_worker_info()
        if worker is not None and worker.id < len(self._rows):
            self._rows.numpy()[worker.id] = (os.getpid(), step, slot, dataset, scene)

    def of_processes(self, message: str) -> list[tuple[int, int, int, int, int]]:
        """The rows of the processes that torch's message names, or of all if it names none, as far as they drew anything."""
        found = PROCESSES.search(message)
        named = {int(number) for number in found[1].split(",")} if found else None
        return [tuple(row) for row in self._rows.tolist() if row[0] and (named is None or row[0] in named)]
