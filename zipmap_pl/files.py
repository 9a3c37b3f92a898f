"""Files that are either whole or not there: a temporary in the same folder, fsync, rename, fsync of the folder.

They have the rights that the umask leaves. Of two processes or threads that use `write_file` or `new_file` at once, the last one
wins; `exclusive_temporary`, `commit` and `write_exclusively` make the second one wait, and need a file system with locks.
"""

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def temporary_of(final: Path) -> Path:
    """The one temporary name of a file: a run that was killed leaves it, the next attempt takes it over."""
    return final.with_name(f".{final.name}.tmp")


@contextmanager
def exclusive_temporary(final: Path, wait: bool = True) -> Iterator[BinaryIO]:
    """Open the temporary of `final`, empty and locked; a second process waits until the first is done or dead.

    `commit` inside the block gives the file its final name; otherwise the temporary is removed at the end.

    Raises:
        HeldElsewhere: the first is not done, and we do not want to `wait`.
    """
    temporary = temporary_of(final)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_lock_file(temporary, wait), "wb") as stream:
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


def write_exclusively(final: Path, data: bytes) -> None:
    """Write a whole file by way of its one temporary: what a killed process left of it is taken over, not left over."""
    with exclusive_temporary(final) as stream:
        stream.write(data)
        commit(stream, final)


def write_file(final: Path, data: bytes) -> None:
    """Write a whole file; its folder is made if it is missing. Raises OSError: no room, no rights, ..."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with new_file(final) as temporary:
        temporary.write_bytes(data)


@contextmanager
def new_file(final: Path) -> Iterator[Path]:
    """Yield the path to which the block, or a library, writes the file; it becomes `final` if the block ends well.

    Until then an older `final` stays. After an error nothing is left over; a killed process leaves its own temporary.
    """
    temporary = final.with_name(f".{final.name}.{os.getpid()}.{threading.get_native_id()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with usual_rights(temporary):
            yield temporary
        sync(temporary)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    sync(final.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk before anybody relies on them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def usual_rights(path: Path) -> Iterator[None]:
    """Inside, a library writes the new file `path`: it gets the rights that the umask leaves, not those the library gives.

    (safetensors from 0.8 on lets nobody but the owner read.)
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    yield
    path.chmod(mode)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it when the process dies, so that no stale lock can stay."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock_file(file)
    try:
        yield
    finally:
        os.close(descriptor)


class HeldElsewhere(Exception):
    """Another process has locked the file; of one that it owns, the message is what it wrote into it."""


@contextmanager
def owned(file: Path, owner: str) -> Iterator[bool]:
    """Own a file in an existing folder while the block runs; `owner` is written into it. At the end it is removed.

    The lock belongs to this process alone, not to those that it forks, and the system releases it when the process dies,
    however it dies: a file that is left over is free. Yields False where the file system has no locks; then nothing
    is owned.

    Raises:
        HeldElsewhere: another process owns it.
    """
    descriptor = _own(file)
    if descriptor is None:
        yield False
        return
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(), 0)
        yield True
    finally:
        if _is_named(descriptor, file):
            file.unlink()
        os.close(descriptor)


def _own(file: Path) -> int | None:
    """Open and lock without waiting; again, if the last owner removed the file in between. None: there are no locks."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            found = os.pread(descriptor, 1000, 0).decode(errors="replace")
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise HeldElsewhere(found) from error
            return None
        if _is_named(descriptor, file):
            return descriptor
        os.close(descriptor)


def _lock_file(file: Path, wait: bool = True) -> int:
    """Open and lock; again, if the file was renamed or removed by its last holder while we waited."""
    kind = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, kind)
            if _is_named(descriptor, file):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise HeldElsewhere from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, file: Path) -> bool:
    """Return True if the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False
