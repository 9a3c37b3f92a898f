"""What a numpy array promises before its values: read without evaluating more than a literal, believed only in bounds."""

import math
import tokenize
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.raw import RawFault

MAX_HEADER = 1 << 14  # bytes; numpy reads at most 10,000
MAX_DIMENSIONS, MAX_LENGTH = 32, 1 << 40
# What numpy raises for a header that is no literal, or one that is nested too deep for Python's parser.
UNREADABLE = (
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
    KeyError,
)


@dataclass(frozen=True)
class NpyHeader:
    """Shape, order and type of an array, and where its values start in its file."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @property
    def byte_count(self) -> int:
        """How many the values take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}, that is {self.byte_count} bytes"

    def shaped(self, values: np.ndarray | bytes, offset: int = 0) -> np.ndarray:
        """The array, of at least its bytes from an offset. Nothing is copied."""
        flat = np.frombuffer(values, self.dtype, math.prod(self.shape), offset)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def read_header(file: Source, stream: BinaryIO) -> NpyHeader:
    """The header at the start of a stream of at most some kilobytes, or of a whole file in memory.

    Raises:
        RawFault: unreadable; an array of objects, which would have to be unpickled; a shape or type without values.
    """
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
    except UNREADABLE as error:
        reason = str(error)[:200].partition(": <")[0]  # not the address of a node of its header
        raise RawFault(file, f"unreadable numpy file ({reason or type(error).__name__})") from error
    if dtype.hasobject:
        raise RawFault(file, f"unreadable numpy file: holds objects {list(shape)[:8]}, expected numbers or texts")
    if (
        dtype.subdtype
        or not dtype.itemsize
        or len(shape) > MAX_DIMENSIONS
        or not all(type(side) is int and 0 <= side <= MAX_LENGTH for side in shape)
    ):
        raise RawFault(file, f"unreadable numpy file: its header promises {dtype}{list(shape)[:8]}")
    return NpyHeader(shape, fortran, dtype, stream.tell())
