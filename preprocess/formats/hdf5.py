"""Reading HDF5 files; what cannot be decoded is a `RawFault` that names the file."""

import io
import math

import h5py
import numpy as np

from zipmap_pl.preprocess.formats.sources import MAX_BYTES, Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault

# What h5py raises for damaged files. The file is in memory by then, so none of these is an error of the system.
DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError)

KINDS = {"f": "floats", "i": "integers"}


def read_hdf5(file: Source, key: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The array `key` of an HDF5 file, as stored. Nothing outside of the file is followed.

    Args:
        file: the file.
        key: name of the array.
        kind: what it must hold: "f" floats, "i" integers with a sign.
        shape: what it must have; None = any length.

    Raises:
        RawFault: missing, damaged, no such array, another one, kept in other files, or larger than 1 GiB.
    """
    data = read_bytes(file)
    try:
        with h5py.File(io.BytesIO(data), "r") as opened:
            if key not in opened or not isinstance(opened.get(key, getlink=True), h5py.HardLink):
                raise RawFault(file, f"holds no {key!r}, expected an array of this name")
            array = opened[key]
            _check(file, key, array)
            _check_contents(file, array, kind, shape)
            return array[()]
    except DAMAGED as error:
        raise RawFault(file, "unreadable HDF5 file") from error


def _check(file: Source, key: str, array: object) -> None:
    if not isinstance(array, h5py.Dataset) or array.shape is None or array.dtype.kind not in "fiub":
        raise RawFault(file, f"{key!r} is {getattr(array, 'dtype', 'a group')}, expected an array of numbers")
    if array.is_virtual or array.external:
        raise RawFault(file, f"{key!r} is kept in other files, expected it in this one")
    largest = max(math.prod(shape) for shape in (array.shape, array.chunks or ()))
    if largest * array.dtype.itemsize > MAX_BYTES:
        raise RawFault(
            file, f"its header promises {array.dtype}{list(array.shape)}, expected at most {MAX_BYTES} bytes"
        )


def _check_contents(file: Source, array: h5py.Dataset, kind: str, shape: tuple[int | None, ...]) -> None:
    fits = len(array.shape) == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if array.dtype.kind != kind or not fits:
        expected = f"{KINDS[kind]} [{', '.join('N' if n is None else str(n) for n in shape)}]"
        raise RawFault(file, f"{array.dtype}{list(array.shape)}, expected {expected}")
