"""Tar archives, plain (.tar) or compressed (.tar.gz, .tgz), whole or cut into parts (.tar00 ..., .tar.gz.partaa ...).

They are read in place. A tar has no table of its members: `table_of` goes through it once, and what it finds is all that is
needed to read any member. A table is a pure function of the archive's bytes, so it can be kept.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product, takewhile
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from zipmap_pl.preprocess.formats.gzip_index import Inflated, find_places
from zipmap_pl.preprocess.formats.listing import Listing, listing_of
from zipmap_pl.preprocess.formats.raw_file import RawFile
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.raw import RawFault

# The first file of an archive: the whole, or the first of its parts. Groups: gz; digits; letters.
TAR = re.compile(
    r".*\.(?:tar(?P<gz>\.gz)?(?:(?P<digits>0{2,4})|\.part(?P<letters>a{2,4}))?|(?P<tgz>tgz))", re.IGNORECASE
)
BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 20
MAX_HEADER = 1 << 20  # bytes; long names and the like, which are read at once
FILE, LINK, OTHER = range(3)  # kinds of members
# What tarfile and zlib raise for damage. gzip.BadGzipFile is an OSError, but never one of the system's.
DAMAGED_TAR = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    LookupError,
    TypeError,
    RecursionError,
)


def is_tar(name: str) -> bool:
    """Return True for the name of an archive that is read here. Of one in parts, only the first part has such a name."""
    return TAR.fullmatch(name) is not None


def table_of(archive: Path) -> dict[str, np.ndarray]:
    """Where the members of an archive are: arrays to keep, and to give to `OpenTar`. One pass, two of a compressed archive.

    Args:
        archive: a name that `is_tar` knows.

    Returns:
        names: uint8, UTF-8 with a zero after each; of files and links, not of folders;
        kinds: [N] uint8;
        places: [N, 2] uint64, start and length;
        checksums: [N] uint32, CRC-32 of the members of a compressed archive, else none;
        parts: uint64, sizes of the archive's files; and, of a compressed one, what `find_places` returns.

    Raises:
        RawFault: missing, or damaged: of an archive that is cut off or altered nothing is used.
        UserError: indexed-gzip is not installed, which compressed archives need.
    """
    parts = _parts_of(archive)
    compressed = _is_compressed(archive)
    try:
        with RawFile(parts) as file:
            contents = gzip.GzipFile(fileobj=file) if compressed else file
            members = list(_members(contents, compressed))
            if compressed:
                while contents.read(PIECE):  # to the checksum at the end
                    pass
            index = find_places(file) if compressed else {}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RawFault(archive, "missing") from error
    except IsADirectoryError as error:
        raise RawFault(archive, "is a folder, expected a file") from error
    except DAMAGED_TAR as error:
        raise RawFault(archive, f"unreadable tar ({str(error)[:200] or type(error).__name__})") from error
    names = b"".join(member.name.encode("utf-8", "surrogateescape") + b"\0" for member in members)
    return {
        "names": np.frombuffer(names, np.uint8),
        "kinds": np.array([member.kind for member in members], np.uint8),
        "places": np.array([(member.start, member.size) for member in members], np.uint64).reshape(-1, 2),
        "checksums": np.array([member.checksum for member in members] if compressed else [], np.uint32),
        "parts": np.array([part.stat().st_size for part in parts], np.uint64),
        **index,
    }


def kept_table_of(archive: Path) -> KeptTable:
    """The same, kept. Raises RawFault if a part is missing."""
    return KeptTable(archive, "tar", table_of, parts=tuple(_parts_of(archive)[1:]))


class OpenTar:
    """A tar that is kept open, by its table."""

    def __init__(self, archive: Path, table: dict[str, np.ndarray]) -> None:
        """Raises RawFault if the table is of another archive, and errors of the system."""
        parts = _parts_of(archive)
        sizes = [part.stat().st_size for part in parts]
        if sizes != table["parts"].tolist():
            raise RawFault(archive, "its files changed after they were listed")
        names = table["names"].tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
        self.listing: Listing = listing_of(archive, names)
        self._rows = {name: row for row, name in enumerate(names)}
        self._kinds, self._places, self._checksums = table["kinds"], table["places"], table["checksums"]
        self._file = RawFile(parts)
        self._inflated = Inflated(self._file, table) if _is_compressed(archive) else None

    def is_file(self, name: str) -> bool:
        """Return False for a link, a device and the like. `name` is one of `listing.members`."""
        return int(self._kinds[self._row(name)]) == FILE

    def size(self, name: str) -> int:
        """Bytes of a member."""
        return int(self._places[self._row(name), 1])

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises `DAMAGED_TAR`, and errors of the system."""
        data = self.read_part(name, 0, self.size(name))
        if self._inflated and zlib.crc32(data) != self._checksums[self._row(name)]:
            raise ValueError("its bytes changed after they were listed")
        return data

    def read_part(self, name: str, start: int, count: int) -> bytes:
        """Bytes of a member, which has them, from a place in it; they are not compared with the checksum. Raises as `read`."""
        place = int(self._places[self._row(name), 0]) + start
        if self._inflated:
            return self._inflated.read(place, count)
        self._file.seek(place)
        data = self._file.read(count) or b""
        if len(data) != count:
            raise EOFError("cut off")
        return data

    def _row(self, name: str) -> int:
        return self._rows[self.listing.members[name]]


@dataclass(frozen=True)
class _Member:
    name: str
    kind: int
    start: int
    size: int
    checksum: int


class _Contents:
    """What tarfile reads from: it takes memory for whatever a header promises."""

    def __init__(self, stream: RawFile | gzip.GzipFile) -> None:
        self._stream = stream
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, count: int) -> bytes:
        if count > MAX_HEADER:
            raise ValueError(f"a header promises {count} bytes, expected at most {MAX_HEADER}")
        return self._stream.read(count) or b""


def _members(stream: RawFile | gzip.GzipFile, compressed: bool) -> Iterator[_Member]:
    """All members but folders. tarfile takes an altered header for the end: what is there has to be the end."""
    contents = _Contents(stream)
    with tarfile.TarFile.open(fileobj=contents, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:  # type: ignore[call-overload]
        end = 0
        while (info := tar.next()) is not None:
            tar.members.clear()
            if info.size < 0 or tar.offset <= end:
                raise ValueError("a header promises a negative size")
            end = tar.offset
            checksum = 0
            if compressed:  # what is compressed is read anyway, and a seek would do no better
                checksum = _checksum(stream, info.offset_data, info.size, end)
            if info.isdir():
                continue
            kind = LINK if info.islnk() or info.issym() else FILE if info.isreg() and not info.issparse() else OTHER
            yield _Member(info.name, kind, info.offset_data, info.size if kind == FILE else 0, checksum)
        stream.seek(end)
        if len(block := stream.read(BLOCK) or b"") < BLOCK:
            raise EOFError("cut off: it has no end")
        if block.strip(b"\0"):
            raise ValueError(f"the header at byte {end} is altered")


def _checksum(stream: RawFile | gzip.GzipFile, start: int, size: int, end: int) -> int:
    """CRC-32 of a member that begins at or behind the stream's place, which moves to `end`."""
    stream.seek(start)
    checksum = 0
    while size > 0:
        if not (piece := stream.read(min(size, PIECE))):
            raise EOFError("cut off")
        checksum = zlib.crc32(piece, checksum)
        size -= len(piece)
    stream.seek(end)
    return checksum


def _is_compressed(archive: Path) -> bool:
    match = TAR.fullmatch(archive.name)
    return match is not None and bool(match["gz"] or match["tgz"])


def _parts_of(archive: Path) -> list[Path]:
    """The files of an archive in order: those that continue its name without a gap. Raises RawFault if one is missing."""
    match = TAR.fullmatch(archive.name)
    count = match["digits"] or match["letters"] if match else None
    if not count:
        return [archive]
    before = archive.name[: -len(count)]
    letters = "0123456789" if count.startswith("0") else ascii_lowercase
    names = (before + "".join(end) for end in product(letters, repeat=len(count)))
    parts = list(takewhile(lambda part: part.is_file(), (archive.parent / name for name in names))) or [archive]
    last = re.compile(re.escape(before) + f"[{letters}]{{{len(count)}}}")
    there = [file.name for file in archive.parent.iterdir() if last.fullmatch(file.name)] if parts else []
    if len(there) > len(parts):
        raise RawFault(archive, f"{len(parts)} parts follow each other, but {max(there)} is there: one is missing")
    return parts
