"""Makes the tables of a reader's containers (`preprocess.kept`) before its scenes are listed, in all workers of all parts."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from zipmap_pl.preprocess.engine.workers import Job, Run
from zipmap_pl.preprocess.engine.writer import Stopped
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.raw import RawReader

PAUSE = 0.5  # seconds between looks at a table that another process is making


def make_tables(reader: RawReader, part: tuple[int, int], run: Run) -> None:
    """Return when the tables of all containers are there.

    Parts that run at the same time share the work: each begins at another container, leaves out those that others are at,
    and waits for them at the end. If one of them dies, its table is made here.
    """
    tables: list[KeptTable] = list(getattr(reader, "containers", list)())
    start = (part[0] - 1) * len(tables) // part[1]
    left = tables[start:] + tables[:start]
    for name, patient in (("tables", False), ("tables of other parts", True)):
        if left:
            left = [table for table in run(_make, [(table, patient) for table in left], name) if table is not None]


def _make(job: Job, table: KeptTable, patient: bool) -> KeptTable | None:
    """In a worker: make one table. Returns it if another process is at it and we are not patient."""
    with _left_when_stopped(job):
        while not table.make():
            if not patient:
                return table
            if job.stopped():
                raise Stopped
            time.sleep(PAUSE)
    return None


@contextmanager
def _left_when_stopped(job: Job) -> Iterator[None]:
    """End this worker when the run is stopped, as SIGTERM does: a table may take minutes, and nobody waits for Ctrl-C so long."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(PAUSE):
            if job.stopped():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
