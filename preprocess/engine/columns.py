"""Columns of the index, written without holding them in memory."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zipmap_pl.datasets.format.shard_index import pack_text
from zipmap_pl.files import commit, exclusive_temporary

WRITTEN_AT_ONCE = 1 << 24  # bytes


@contextmanager
def mapped_columns(folder: Path, specs: dict[str, tuple], rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Columns of zeros that are files and take no memory; at the end of the block they get their final names."""
    with ExitStack() as stack:
        files = {name: folder / f"{name}.npy" for name in specs}
        streams = {name: stack.enter_context(exclusive_temporary(file)) for name, file in files.items()}
        columns = {}
        for name, (dtype, shape) in specs.items():
            stream = streams[name]
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
            np.lib.format.write_array_header_1_0(stream, {**header, "shape": (rows, *shape)})
            columns[name] = _mapped_zeros(stream, np.dtype(dtype), (rows, *shape))
        yield {**columns}
        for name, column in columns.items():
            column.flush()
            commit(streams[name], files[name])


def _mapped_zeros(stream: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """An array in the rest of a file. Its zeros are written first: a disk that is full is an error now, not a crash later."""
    start, left = stream.tell(), dtype.itemsize * math.prod(shape)
    while left > 0:
        left -= stream.write(bytes(min(left, WRITTEN_AT_ONCE)))
    stream.flush()
    return np.memmap(stream, dtype, "r+", start, shape)


def write_column(file: Path, column: np.ndarray) -> None:
    """Write a column that is in memory."""
    with exclusive_temporary(file) as stream:
        np.lib.format.write_array(stream, column, version=(1, 0), allow_pickle=False)
        commit(stream, file)


def write_text(folder: Path, name: str, texts: list[str]) -> None:
    """Write the two files of a column of text."""
    data, offsets = pack_text(texts)
    write_column(folder / f"{name}.bytes.npy", data)
    write_column(folder / f"{name}.offsets.npy", offsets)
