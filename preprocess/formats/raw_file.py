"""Raw files as streams of bytes: one file, or the parts of one that was cut into several."""

import errno
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.raw import RawFault


class RawFile(io.RawIOBase):
    """The bytes of a file, or of several one after the other, for reading at any place.

    A place before its start is a ValueError, never an OSError: libraries seek to what a damaged file says, and an OSError
    has to mean that the system failed. Where a library raises OSError for damage all the same, `failed` tells the two apart.
    Raises OSError if a part cannot be opened, and ValueError if it is no file.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        self._streams: list[io.FileIO] = []
        self._ends: list[int] = []
        self._place = 0
        self.failed = False  # the system could not read
        try:
            for part in parts:
                mode = os.stat(part).st_mode
                if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder is an error of the system
                    raise ValueError(f"{part.name} is no file")
                self._streams.append(io.FileIO(part))
                self._ends.append(self.size + os.fstat(self._streams[-1].fileno()).st_size)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return self._ends[-1] if self._ends else 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = 0) -> int:
        wanted = place + (0, self._place, self.size)[whence]
        if wanted < 0:
            raise ValueError(f"place {wanted} is before the start of the file")
        self._place = wanted
        return wanted

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]  # a writable buffer, which typeshed has from 3.12
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and (count := self._read_of_part(view[filled:])):
            filled += count
        return filled

    def _read_of_part(self, view: memoryview) -> int:
        part = next((part for part, end in enumerate(self._ends) if self._place < end), None)
        if part is None:
            return 0
        try:
            self._streams[part].seek(self._place - (self._ends[part - 1] if part else 0))
            count = self._streams[part].readinto(view[: self._ends[part] - self._place]) or 0
        except OSError:
            self.failed = True
            raise
        self._place += count
        return count

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        super().close()


def read_listing(file: Path) -> bytes:
    """The bytes of a text on which whole scenes depend. Raises UserError as `facts_of` raises RawFault."""
    try:
        facts_of(file)
    except RawFault as fault:
        raise UserError(f"{fault}; expected a text") from fault
    return file.read_bytes()


def facts_of(file: Path) -> os.stat_result:
    """Size and times of a raw file, asked before it is opened: a named pipe would wait for a writer, a device never end.

    Raises:
        RawFault: missing, a folder, or no file. Other errors of the system stay what they are.
    """
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RawFault(file, "missing") from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise RawFault(file, "a link that leads to itself") from error
    if stat.S_ISDIR(found.st_mode):
        raise RawFault(file, "is a folder, expected a file")
    if not stat.S_ISREG(found.st_mode):
        raise RawFault(file, "is no file (a named pipe, a device or a socket)")
    return found
