"""Reading HDF5 files; what cannot be decoded is a `RawFault` that names the file."""

import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import h5py
import numpy as np

from zipmap_pl.preprocess.formats.seekable import open_seekable, read_part, size_of
from zipmap_pl.preprocess.formats.sources import MAX_BYTES, Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault

# What h5py raises for damaged files. Errors of the system are told apart: a file in memory has none, an open one is watched.
DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError, zlib.error)

KINDS = {"f": "floats", "i": "integers", "u": "integers without a sign"}
MOST_PER_BYTE = 1100  # bytes of an array for a byte of the file, at most: deflate, which HDF5 uses, reaches 1032
SMALL = 1 << 20  # bytes; an array of which nothing was ever written may be as large, whatever the file's size
MAX_ATTRIBUTE = 1 << 16  # bytes
HEAP = b"GCOL\1\0\0\0"  # how a heap of strings begins; its length follows
HEAP_OBJECT = struct.Struct("<H6xQ")
REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])  # to a string, without padding
BLOCK = 256  # strings that are read together


def read_hdf5(file: Source, key: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The array `key` of an HDF5 file, as stored. Nothing outside of the file is followed.

    Args:
        file: the file.
        key: name of the array.
        kind: what it must hold: "f" floats, "i" integers with a sign, "u" integers without.
        shape: what it must have; None = any length.

    Raises:
        RawFault: missing, damaged, no such array, another one, kept in other files, or larger than 1 GiB.
    """
    data = read_bytes(file)
    try:
        with h5py.File(io.BytesIO(data), "r") as opened:
            array = _linked(file, opened, key)
            _check(file, key, array)
            _check_contents(file, array, kind, shape)
            return array[()]
    except DAMAGED as error:
        raise RawFault(file, "unreadable HDF5 file") from error


class Hdf5:
    """An open HDF5 file: see `opened`. A key is a path such as `trajectory_3000/groundtruth/position`.

    Every method raises RawFault for what is missing, damaged, of another kind, or reached by a soft or external link.
    """

    def __init__(self, file: Source, contents: h5py.File, stream: "_Watched") -> None:
        self._file, self._contents, self._stream = file, contents, stream

    def names(self, group: str = "") -> list[str]:
        """Names of what lies in a group, sorted as text (`image_10` before `image_2`); the top group without a name."""
        with _damage(self._file, self._stream):
            found = _linked(self._file, self._contents, group) if group else self._contents
            if not isinstance(found, h5py.Group):
                raise RawFault(self._file, f"{group!r} is an array, expected a group")
            return sorted(found)

    def array(self, key: str, kind: str, shape: tuple[int | None, ...], rows: slice = slice(None)) -> np.ndarray:
        """The array of a key, or these rows of it, as stored. Nothing else of the file is read.

        Args:
            key: its path.
            kind: what it must hold: "f" floats, "i" integers with a sign, "u" integers without.
            shape: what the whole array must have; None = any length.
            rows: along the first dimension.

        Raises:
            RawFault: as all methods; more than 1 GiB, or more than the file can hold.
        """
        with _damage(self._file, self._stream):
            array = _linked(self._file, self._contents, key)
            _check_place(self._file, key, array)
            _check_contents(self._file, array, kind, shape)
            self._refuse_lies(key, array, rows)
            return array[rows] if array.shape else array[()]

    def texts(self, key: str) -> list[str]:
        """The strings of an array with one dimension, of fixed or any length, UTF-8. At most 1 GiB."""
        with _damage(self._file, self._stream):
            array = _linked(self._file, self._contents, key)
            if not _is_text(array) or len(array.shape or ()) != 1:
                raise RawFault(self._file, f"{key!r} is {_named(array)}, expected strings [N]")
            _check_place(self._file, key, array)
            self._refuse_lies(key, array, slice(None))
            self._refuse_long(array)
            texts: list[str] = []
            total = 0
            for start in range(0, len(array), BLOCK):
                block = [bytes(text) for text in array[start : start + BLOCK]]
                total += sum(map(len, block))
                if total > MAX_BYTES:
                    raise RawFault(self._file, f"{key!r} holds more than {MAX_BYTES} bytes of text")
                texts += [text.decode() for text in block]
            return texts

    def attribute(self, key: str, name: str) -> np.ndarray | str:
        """An attribute of a group or array: numbers as an array, as stored (a single one has shape []), or one string."""
        with _damage(self._file, self._stream):
            attributes = _linked(self._file, self._contents, key).attrs
            if name not in attributes:
                raise RawFault(self._file, f"{key!r} has no attribute {name!r}")
            found = attributes.get_id(name)
            size = math.prod(found.shape or ()) * found.dtype.itemsize
            text = h5py.check_string_dtype(found.dtype) is not None and found.shape in ((), (1,))
            if found.shape is None or size > MAX_ATTRIBUTE or not (text or found.dtype.kind in "fiub"):
                what = f"{found.dtype}{list(found.shape or ())}"
                raise RawFault(self._file, f"attribute {name!r} of {key!r} is {what}, expected numbers or a string")
            values = np.asarray(attributes[name])
            if not text:
                return values
            value = values.reshape(-1)[0]
            return value.decode() if isinstance(value, bytes) else str(value)

    def _refuse_lies(self, key: str, array: h5py.Dataset, rows: slice) -> None:
        """Raise RawFault if these rows, or a chunk, which is read as a whole, are more than the file can hold or 1 GiB."""
        count = len(range(*rows.indices(array.shape[0]))) if array.shape else 1
        most = min(MAX_BYTES, max(SMALL, MOST_PER_BYTE * self._stream.size))
        for part in ((count, *array.shape[1:]), array.chunks or ()):
            if math.prod(part) * array.dtype.itemsize > most:
                text = f"{array.dtype}{list(part)} in a file of {self._stream.size} bytes"
                raise RawFault(self._file, f"{key!r} promises {text}, expected at most {most} bytes")

    def _refuse_long(self, array: h5py.Dataset) -> None:
        """Raise ValueError for a string that says to be longer than the file: HDF5 takes memory before it looks for it.

        Strings of any length are stored as references: length, heap, number in the heap. Those that are stored in the
        header, or compressed by anything but deflate, are not looked at.
        """
        if h5py.check_string_dtype(array.dtype).length is not None:  # stored as they are
            return
        filters = array.id.get_create_plist()
        inflate = filters.get_nfilters() == 1 and filters.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE
        if array.chunks and (inflate or not filters.get_nfilters()):
            chunks = (array.id.get_chunk_info(k) for k in range(array.id.get_num_chunks()))
            places = [(chunk.byte_offset, chunk.size) for chunk in chunks]
        else:
            places = [(array.id.get_offset(), array.id.get_storage_size())] if array.id.get_offset() else []
        most = math.prod(array.chunks or array.shape) * REFERENCE.itemsize
        for start, count in places:
            data = read_part(self._file, self._stream, start, count)  # type: ignore[arg-type]
            data = zlib.decompressobj().decompress(data, most) if inflate else data
            lengths = np.frombuffer(data, REFERENCE, len(data) // REFERENCE.itemsize)["length"]
            if lengths.max(initial=0) > self._stream.size:
                raise ValueError("a string is longer than the file")


@contextmanager
def opened(file: Source) -> Iterator[Hdf5]:
    """Open an HDF5 file without reading it; nothing outside of it is followed. Use it as `with opened(file) as hdf5:`.

    A file on disk is read in place, however large; a member of an archive is read into memory first.

    Raises:
        RawFault: missing, or damaged. Other errors of the system stay what they are, in the methods of `Hdf5` too.
    """
    with open_seekable(file) as stream:
        watched = _Watched(stream)
        with _damage(file, watched):
            contents = h5py.File(watched, "r")
        try:
            yield Hdf5(file, contents, watched)
        finally:
            with suppress(*DAMAGED):
                contents.close()


class _Watched(io.RawIOBase):
    """A file as h5py reads it, which keeps the system's own error: h5py raises OSError for damage, too."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = size_of(stream)
        self.error: OSError | None = None

    def seek(self, place: int, whence: int = 0) -> int:
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            place = self.tell()
            count = self._stream.readinto(buffer)  # type: ignore[attr-defined]  # BinaryIO has it, typeshed's does not
            if count != len(buffer):
                raise ValueError("it ends before")  # h5py would take what the buffer held for the file's
            if bytes(buffer[:8]) == HEAP:  # HDF5 may read the rest of it apart
                length = min(int.from_bytes(buffer[8:16], "little"), self.size - place)
                self.seek(place)
                _refuse_endless(self._stream.read(length))
                self.seek(place + count)
        except OSError as error:
            self.error = error
            raise
        return count


def _refuse_endless(heap: bytes) -> None:
    """Raise ValueError for a heap of strings that HDF5 2.0 would walk for ever.

    It holds objects one behind the other: number (2 bytes; 0 = the free space), uses (2), 4 unused, length (8), as many
    bytes, up to a multiple of 8. The length of the free space counts all of it. HDF5 does not notice a step of 0.
    """
    place = HEAP_OBJECT.size
    while place + HEAP_OBJECT.size <= len(heap):
        number, length = HEAP_OBJECT.unpack_from(heap, place)
        step = HEAP_OBJECT.size + -(-length // 8) * 8 if number else length
        if step < HEAP_OBJECT.size or step > MAX_BYTES:
            raise ValueError("a heap of strings is altered")
        place += step


@contextmanager
def _damage(file: Source, stream: _Watched) -> Iterator[None]:
    """What h5py raises meanwhile is a fault of the file, or the error that the system raised."""
    try:
        yield
    except DAMAGED as error:
        if stream.error:
            raise stream.error from None
        raise RawFault(file, "unreadable HDF5 file") from error


def _linked(file: Source, top: h5py.File, key: str) -> h5py.Group | h5py.Dataset:
    """What a path leads to, by hard links only: others may lead out of the file, or round in circles."""
    found = top
    for name in key.split("/"):
        # `name in found` would follow the link to see whether something is there.
        link = found.get(name, getlink=True) if name not in ("", ".") and isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise RawFault(file, f"holds no {key!r}, expected an array of this name")
        found = found[name]
    return found


def _is_text(found: object) -> bool:
    return isinstance(found, h5py.Dataset) and h5py.check_string_dtype(found.dtype) is not None


def _named(found: object) -> str:
    return f"{found.dtype}{list(found.shape or ())}" if isinstance(found, h5py.Dataset) else "a group"


def _check(file: Source, key: str, array: h5py.Dataset) -> None:
    _check_place(file, key, array)
    if array.dtype.kind not in "fiub":
        raise RawFault(file, f"{key!r} is {array.dtype}, expected an array of numbers")
    largest = max(math.prod(shape) for shape in (array.shape, array.chunks or ()))
    if largest * array.dtype.itemsize > MAX_BYTES:
        raise RawFault(
            file, f"its header promises {array.dtype}{list(array.shape)}, expected at most {MAX_BYTES} bytes"
        )


def _check_place(file: Source, key: str, array: h5py.Group | h5py.Dataset) -> None:
    if not isinstance(array, h5py.Dataset) or array.shape is None:
        raise RawFault(file, f"{key!r} is {_named(array)}, expected an array")
    if array.is_virtual or array.external:
        raise RawFault(file, f"{key!r} is kept in other files, expected it in this one")


def _check_contents(file: Source, array: h5py.Dataset, kind: str, shape: tuple[int | None, ...]) -> None:
    fits = len(array.shape) == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if array.dtype.kind != kind or not fits:
        expected = f"{KINDS[kind]} [{', '.join('N' if n is None else str(n) for n in shape)}]"
        raise RawFault(file, f"{array.dtype}{list(array.shape)}, expected {expected}")
