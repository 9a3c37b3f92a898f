"""Processes that do the engine's work: a pool, what each of its tasks is given, and how they end.

The reader and the place of its tables travel once per process. A task is a function of a module; its first argument is the
`Job` of its process. A worker ends between two frames when the run is stopped, and at once when its parent is gone.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import cv2

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.kept import TablesFolder, keep_in, tables_folder
from zipmap_pl.preprocess.raw import RawReader
from zipmap_pl.processes import require_main_guard
from zipmap_pl.progress import track

# Runs a task on each of a list of arguments, showing progress under a name; yields the results in any order.
Run = Callable[[Callable[..., Any], list[tuple], str], Iterable[Any]]


@dataclass(frozen=True)
class Job:
    """What every task of a process is given."""

    reader: RawReader
    stopped: Callable[[], bool]


_job: Job | None = None  # of this process, if it is a worker


def never() -> bool:
    """`Job.stopped` of a process that does its work itself."""
    return False


def check_workers(workers: int) -> None:
    """Raise UserError for a number of processes that makes no sense."""
    if workers < 1:
        raise UserError(f"--workers {workers}: expected 1 or more")


@contextmanager
def workers_of(reader: RawReader, workers: int) -> Iterator[Run]:
    """Run tasks in so many processes (1 = this one); all stop when one fails. Raises UserError as `check_workers`."""
    check_workers(workers)
    if workers == 1:
        yield run_here(Job(reader, never))
        return
    require_main_guard()
    context = multiprocessing.get_context("forkserver")
    stop = context.Event()
    with ProcessPoolExecutor(
        workers, context, initializer=_start_worker, initargs=(reader, stop, tables_folder())
    ) as pool:

        def run(task: Callable[..., Any], arguments: list[tuple], name: str) -> Iterator[Any]:
            futures = [pool.submit(_run_task, task, a) for a in arguments]
            yield from track((future.result() for future in as_completed(futures)), name, len(futures))

        try:
            yield run
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def run_here(job: Job | None) -> Run:
    """Run tasks in this process; without a job, those that need none."""
    return lambda task, arguments, name: track((task(job, *a) for a in arguments), name, len(arguments))


def _start_worker(reader: RawReader, stop: Any, tables: TablesFolder | None) -> None:  # noqa: ANN401
    """Leave Ctrl-C to the parent, which stops us between two frames; die with the parent if it is killed.

    One core each: OpenCV's own threads would only wait for each other.
    """
    global _job
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    keep_in(tables)
    _job = Job(reader, stop.is_set)


def _die_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM, by which clusters and systemd stop programs, ends a run as Ctrl-C does: nothing half written is left."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield  # somebody else's business
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _leave(*_: object) -> None:
    """On SIGTERM: leave by way of the open files, which remove what is half written."""
    raise SystemExit(1)


def _run_task(task: Callable[..., Any], arguments: tuple) -> Any:  # noqa: ANN401
    assert _job is not None
    try:
        return task(_job, *arguments)
    except SystemExit:
        os._exit(1)  # the pool would keep this process for the next task
