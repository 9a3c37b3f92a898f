"""Zip archives, read in place."""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zipmap_pl.preprocess.formats.listing import Listing, listing_of
from zipmap_pl.preprocess.formats.raw_file import RawFile

# What zipfile and its decompressors raise for damaged, encrypted or unknown archives; never for errors of the system.
DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,
    KeyError,
    IndexError,
    OverflowError,
)


class OpenZip:
    """A zip that is kept open."""

    def __init__(self, archive: Path) -> None:
        """Read its table. Raises `DAMAGED_ZIP` and errors of the system."""
        self._file = RawFile([archive])
        with self._damage():
            self._zip = zipfile.ZipFile(io.BufferedReader(self._file))
        self.listing: Listing = listing_of(
            archive, (info.filename for info in self._zip.infolist() if not info.is_dir())
        )

    def is_file(self, name: str) -> bool:
        """Return False for a link. `name` is one of `listing.members`."""
        return not stat.S_ISLNK(self._info(name).external_attr >> 16)

    def size(self, name: str) -> int:
        """Bytes of a member, as the table says."""
        return self._info(name).file_size

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises `DAMAGED_ZIP`."""
        with self._damage():
            return self._zip.read(self._info(name))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Raise ValueError for an OSError that is not the system's: bz2 has no error of its own."""
        try:
            yield
        except OSError as error:
            if self._file.failed:
                raise
            raise ValueError(str(error)) from error

    def _info(self, name: str) -> zipfile.ZipInfo:
        return self._zip.getinfo(self.listing.members[name])
