"""Files that are either whole or not there: a temporary in the same folder, fsync, rename, fsync of the folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zipmap_pl.durable import sync


def temporary_of(final: Path) -> Path:
    """The one temporary name of a file: a run that was killed leaves it, the next attempt takes it over."""
    return final.with_name(f".{final.name}.tmp")


@contextmanager
def exclusive_temporary(final: Path) -> Iterator[BinaryIO]:
    """Open the temporary of `final`, empty and locked; a second process waits until the first is done or dead.

    `commit` inside the block gives the file its final name; otherwise the temporary is removed at the end.
    """
    temporary = temporary_of(final)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_lock_file(temporary), "wb") as stream:
        stream.truncate(0)
        try:
            yield stream
        finally:
            if _is_named(stream.fileno(), temporary):
                temporary.unlink()


def commit(stream: BinaryIO, final: Path) -> None:
    """Give a finished `exclusive_temporary` its final name, surviving a power cut."""
    stream.flush()
    os.fsync(stream.fileno())
    os.replace(temporary_of(final), final)
    sync(final.parent)


def write_file(final: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with exclusive_temporary(final) as stream:
        stream.write(data)
        commit(stream, final)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it when the process dies, so that no stale lock can stay."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock_file(file)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_file(file: Path) -> int:
    """Open and lock; again, if the file was renamed or removed by its last holder while we waited."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_named(descriptor, file):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, file: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False
