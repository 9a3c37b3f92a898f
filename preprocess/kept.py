"""Tables of large raw files, kept beside the plan: what is where in a .tar.gz of 5 GB, the numbers of a gzipped list, ...

A table is made of the bytes of one raw file (or of one that was cut into parts) and of nothing else. It is kept as
<output>/plan/tables/<name>.npz, whose name holds the file's path below the raw folder, size and time of its last change, and
kind and version of the table. All workers and all parts of a run share it: one process makes it, and others that want it
wait. A table that is missing or damaged is made anew. Tables are no part of the fingerprint or of any shard's bytes, and may
be deleted.

Readers and `formats` call this, the engine says where; that is why it is below all of them. Outside of the engine nothing is
kept, and every call builds.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np

from zipmap_pl.datasets.format.schema import slug_of
from zipmap_pl.files import HeldElsewhere, commit, exclusive_temporary
from zipmap_pl.preprocess.npz_bytes import npz_bytes
from zipmap_pl.preprocess.raw import RawFault

FAULT = "raw-fault"  # the one array of a table that cannot be made: the file to blame and the reason
DIGEST = hashlib.sha256().digest_size * 2

Build = Callable[[Path], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class TablesFolder:
    """Where tables are kept, and the raw folder that the paths of their sources are counted from (None: from the root)."""

    folder: Path
    raw: Path | None


_current: ContextVar[TablesFolder | None] = ContextVar("tables", default=None)


def tables_folder() -> TablesFolder | None:
    """Where this process keeps tables, if it does."""
    return _current.get()


def keep_in(place: TablesFolder | None) -> None:
    """Keep tables there for as long as this process lives: for a worker."""
    _current.set(place)


@contextmanager
def kept_in(folder: Path | None, raw: Path | None) -> Iterator[TablesFolder]:
    """Keep tables in a folder while the block runs; None = in a temporary one, which is removed at the end."""
    if folder is None:
        with TemporaryDirectory(prefix="zipmap-tables-") as temporary, kept_in(Path(temporary), raw) as place:
            yield place
        return
    place = TablesFolder(folder, raw)
    token = _current.set(place)
    try:
        yield place
    finally:
        _current.reset(token)


def table(source: Path, kind: str, build: Build, version: int = 1) -> dict[str, np.ndarray]:
    """The table of a raw file: `KeptTable.read`. Cache it where it is asked for often: each call reads the file."""
    return KeptTable(source, kind, build, version).read()


@dataclass(frozen=True)
class KeptTable:
    """A table of a raw file. Sent to worker processes, so `build` is a function of a module.

    Attributes:
        source: the raw file.
        kind: what the table says, in a word.
        build: makes the arrays (numbers, truth values, texts; bytes as uint8) from the file and nothing else. It may raise
            RawFault, which is kept as well: nobody reads a damaged file twice.
        version: raised whenever `build` makes something else of the same file.
        parts: more files that `build` reads, where the source is the first one of several.
    """

    source: Path
    kind: str
    build: Build
    version: int = 1
    parts: tuple[Path, ...] = ()

    def read(self) -> dict[str, np.ndarray]:
        """The arrays, in any process; made first if they are not kept yet.

        If another process is making the table, waits until that is done or dead.

        Raises:
            RawFault: of `build`.
        """
        file = self._file()
        if file is None:
            return dict(self.build(self.source))
        arrays = _load(file)
        if arrays is None:
            with exclusive_temporary(file) as stream:
                arrays = _load(file)  # it may have been made while we waited
                if arrays is None:
                    arrays = self._write(stream, file)
        if FAULT in arrays:
            before, file_or_rest, reason = json.loads(arrays[FAULT].tobytes())
            raise RawFault(f"{self.source if before else ''}{file_or_rest}", reason)
        return arrays

    def make(self) -> bool:
        """Make the table if it is not there. Returns False if another process is just doing so."""
        file = self._file()
        if file is None or file.is_file():
            return True
        try:
            with exclusive_temporary(file, wait=False) as stream:
                if not file.is_file():
                    self._write(stream, file)
        except HeldElsewhere:
            return False
        return True

    def _file(self) -> Path | None:
        """Where it is kept; None if it is not, or if there is no source, which `build` then finds out."""
        place = tables_folder()
        if place is None:
            return None
        try:
            found = [os.stat(file) for file in (self.source, *self.parts)]
        except (FileNotFoundError, NotADirectoryError):
            return None
        path = os.path.abspath(self.source)
        if place.raw is not None and Path(path).is_relative_to(os.path.abspath(place.raw)):
            path = os.path.relpath(path, place.raw)
        key = json.dumps([path, self.kind, self.version, *((facts.st_size, facts.st_mtime_ns) for facts in found)])
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        return place.folder / f"{slug_of(self.source.name)}-{slug_of(self.kind)}-{digest}.npz"

    def _write(self, stream: BinaryIO, file: Path) -> dict[str, np.ndarray]:
        try:
            arrays = {name: np.asarray(array) for name, array in self.build(self.source).items()}
        except RawFault as fault:
            rest = fault.file.removeprefix(str(self.source))  # the raw folder may be elsewhere when it is read
            told = json.dumps((rest != fault.file, rest, fault.reason))
            arrays = {FAULT: np.frombuffer(told.encode(), np.uint8)}
        except Exception as error:
            error.add_note(f"while making the table {self.kind!r} of {self.source}")
            raise
        data = npz_bytes(arrays, comment=bytes(DIGEST))
        stream.write(memoryview(data)[:-DIGEST])
        stream.write(_digest(data, file))
        commit(stream, file)
        return arrays


def _digest(data: bytes, file: Path) -> bytes:
    """Checksum of a kept table, which is its last bytes (the comment of the zip), over its name and all bytes before."""
    digest = hashlib.sha256(file.name.encode())
    digest.update(memoryview(data)[:-DIGEST])
    return digest.hexdigest().encode()


def _load(file: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a kept table; None if it is missing or damaged."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    if data[-DIGEST:] != _digest(data, file):
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)
