"""Parquet files (Waymo 2), read in place by pyarrow (extra `waymo`): columns of small values whole, large ones row by row.

What cannot be decoded is a `RawFault` that names the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zipmap_pl.preprocess.formats.extras import library
from zipmap_pl.preprocess.formats.raw_file import RawFile, facts_of
from zipmap_pl.preprocess.formats.sources import MAX_BYTES
from zipmap_pl.preprocess.raw import RawFault

# What pyarrow raises for damage: its own errors are ValueErrors, KeyErrors and the like. An OSError is told apart by `RawFile`.
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    EOFError,
)


ROWS = 1024  # that are decoded at once, of columns of small values
BUFFER = 1 << 20  # bytes; without it, a column of a row group is read as a whole


class Parquet:
    """An open Parquet file: see `opened`. Every method raises RawFault for what is missing, damaged or of another kind."""

    def __init__(self, file: Path, contents: Any, stream: RawFile) -> None:
        self._file, self._contents, self._stream = file, contents, stream
        self.rows: int = contents.metadata.num_rows
        self._columns = set(contents.schema_arrow.names)
        self._ahead: dict[str, tuple[int, Iterator[Any]]] = {}  # column -> its next row and those that follow

    def numbers(self, column: str) -> np.ndarray:
        """A column of numbers, [N], or of lists of as many numbers each, [N, K]; at most 1 GiB."""
        with self._damage():
            values = self._whole(column)
            if hasattr(values.type, "value_type"):
                flat = self._plain(column, values.flatten())
                if not values.null_count and len(flat) % max(1, len(values)) == 0:
                    width = len(flat) // max(1, len(values))
                    if (np.diff(values.offsets.to_numpy()) == width).all():
                        return flat.reshape(len(values), width)
                raise RawFault(self._file, f"{column!r} holds lists of several lengths, expected one")
            return self._plain(column, values)

    def texts(self, column: str) -> list[str]:
        """A column of texts; at most 1 GiB."""
        with self._damage():
            values = self._whole(column).to_pylist()
        if not all(isinstance(value, str) for value in values):
            raise RawFault(self._file, f"{column!r} does not hold texts only")
        return values

    def value(self, column: str, row: int) -> np.ndarray | bytes:
        """What a row has in a column of bytes, or of lists of numbers ([K]). Rows in rising order are decoded once."""
        if not 0 <= row < self.rows:
            raise RawFault(self._file, f"has {self.rows} rows, expected a row {row}")
        with self._damage():
            self._refuse_missing(column)
            following, values = self._ahead.pop(column, (row + 1, iter(())))
            if following > row:
                following, values = self._from_group_of(column, row)
            value = None
            for _ in range(row - following + 1):
                value = next(values)
            self._ahead[column] = (row + 1, values)
            if isinstance(value, bytes):
                return value
            if value is None or not hasattr(value, "to_numpy"):
                raise RawFault(
                    self._file, f"{column!r} of row {row} holds nothing, expected bytes or a list of numbers"
                )
            return self._plain(column, value)

    def _from_group_of(self, column: str, row: int) -> tuple[int, Iterator[Any]]:
        """The first row of the group that has this row, and what the rows from there on have in the column."""
        first, group = 0, 0
        while row >= first + self._contents.metadata.row_group(group).num_rows:
            first += self._contents.metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, self._contents.num_row_groups))
        batches = self._contents.iter_batches(1, row_groups=groups, columns=[column], use_threads=False)
        return first, (_python_value(batch.column(0)[0]) for batch in batches)

    def _whole(self, column: str) -> Any:
        """All of a column, of which sizes in the file are not believed."""
        self._refuse_missing(column)
        parts, size = [], 0
        for batch in self._contents.iter_batches(ROWS, columns=[column], use_threads=False):
            parts.append(batch.column(0))
            size += batch.nbytes
            if size > MAX_BYTES:
                raise RawFault(self._file, f"{column!r} has {size} bytes or more, expected at most {MAX_BYTES}")
        arrow = library("pyarrow", "waymo", "reading Parquet")
        return arrow.concat_arrays(parts) if parts else arrow.array([], arrow.float64())

    def _plain(self, column: str, values: Any) -> np.ndarray:
        array = values.to_numpy(zero_copy_only=False)
        if values.null_count or array.dtype.kind not in "fiu":
            raise RawFault(
                self._file, f"{column!r} is {values.type}, {values.null_count} of them missing; expected numbers"
            )
        return array

    def _refuse_missing(self, column: str) -> None:
        if column not in self._columns:
            raise RawFault(self._file, f"has no column {column!r}")

    @contextmanager
    def _damage(self) -> Iterator[None]:
        with _damage(self._file, self._stream):
            yield


@contextmanager
def opened(file: Path) -> Iterator[Parquet]:
    """Open a Parquet file without reading it. Use it as `with opened(file) as parquet:`.

    Raises:
        RawFault: missing, or damaged. Other errors of the system stay what they are, in the methods of `Parquet` too.
        UserError: pyarrow is not installed.
    """
    parquet = library("pyarrow.parquet", "waymo", "reading Parquet")
    facts_of(file)
    with RawFile([file]) as stream:
        with _damage(file, stream):
            contents = Parquet(file, parquet.ParquetFile(stream, buffer_size=BUFFER, pre_buffer=False), stream)
        yield contents


def _python_value(scalar: Any) -> Any:
    """Bytes, or the values of a list, or None."""
    return scalar.values if hasattr(scalar, "values") else scalar.as_py()


@contextmanager
def _damage(file: Path, stream: RawFile) -> Iterator[None]:
    try:
        yield
    except (*DAMAGED, StopIteration) as error:
        if stream.failed:
            raise
        raise RawFault(
            file, f"unreadable Parquet ({' '.join(str(error).split())[:200] or type(error).__name__})"
        ) from error
