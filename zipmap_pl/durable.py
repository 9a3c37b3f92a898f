"""Files that others can rely on: they survive a power cut, and have the rights of every other new file."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
