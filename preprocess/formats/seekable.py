"""Raw files of which parts are read: opened, not taken into memory."""

import io
import os
from typing import BinaryIO

from zipmap_pl.preprocess.formats.raw_file import facts_of
from zipmap_pl.preprocess.formats.sources import Source, TarMember, Tarred, Zipped, read_bytes
from zipmap_pl.preprocess.raw import RawFault


def open_seekable(file: Source) -> BinaryIO:
    """A raw file, open for reading at any place. On disk or in a tar it may have any size; a member of a zip is read whole.

    Raises:
        RawFault: missing, empty, no file; and what `read_bytes` raises for members of archives. Other errors of the
            system stay what they are.
    """
    if isinstance(file, Zipped):
        return io.BytesIO(read_bytes(file))
    stream: BinaryIO
    if isinstance(file, Tarred):
        stream = io.BufferedReader(TarMember(file))
    else:
        facts_of(file)
        stream = file.open("rb")
    if size_of(stream) == 0:
        stream.close()
        raise RawFault(file, "empty file")
    stream.seek(0)
    return stream


def size_of(stream: BinaryIO) -> int:
    """Bytes of an open file, whose place moves to the end."""
    return stream.seek(0, os.SEEK_END)


def read_part(file: Source, stream: BinaryIO, start: int, count: int) -> bytes:
    """`count` bytes of an open file from `start`. Raises RawFault if they are not there, before it takes memory for them."""
    size = size_of(stream)
    if start < 0 or count < 0 or start + count > size:
        raise RawFault(file, f"cut off: {size} bytes, expected at least {start + count}")
    stream.seek(start)
    data = stream.read(count)
    if len(data) != count:
        raise RawFault(file, "became shorter while it was read")
    return data
