"""Text files whose line k belongs to frame k; what is missing or no number is a `RawFault` that names the line."""

from functools import lru_cache

import numpy as np

from zipmap_pl.preprocess.formats.sources import Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault


def numbers_of_row(file: Source, row: int, count: int, expected: str) -> np.ndarray:
    """The numbers [count] float64 on a line of a text file, counted from 0; they may be NaN or infinite.

    `expected` says in a message what they are. Raises RawFault for too few lines, other words, or another count.
    """
    lines = text_rows(file)
    if row >= len(lines):
        raise RawFault(file, f"{len(lines)} lines, fewer than frames")
    try:
        values = np.array([float(word) for word in lines[row].split()])
    except ValueError as error:
        raise RawFault(file, f"line {row + 1}: {error}") from error
    if values.size != count:
        raise RawFault(file, f"line {row + 1}: {values.size} numbers, expected {expected}")
    return values


@lru_cache(maxsize=4)
def text_rows(file: Source) -> list[str]:
    """The lines of a text file up to the last that is not blank. Raises RawFault."""
    return read_bytes(file).decode("utf-8-sig", "replace").rstrip().splitlines()
