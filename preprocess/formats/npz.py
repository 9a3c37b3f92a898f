"""Arrays of .npz archives, read in place: a member without the others (the poses of PointOdyssey without its tracks).

Nothing is unpickled. What cannot be decoded is a `RawFault` that names the file.
"""

import errno
import io
import zipfile
from pathlib import Path

import numpy as np

from zipmap_pl.preprocess.formats.npy_header import MAX_HEADER, NpyHeader, read_header
from zipmap_pl.preprocess.formats.seekable import open_seekable, size_of
from zipmap_pl.preprocess.formats.sources import MAX_BYTES, Source, Zipped
from zipmap_pl.preprocess.formats.zips import DAMAGED_ZIP
from zipmap_pl.preprocess.raw import RawFault

MOST_PER_BYTE = 1100  # bytes of an array for a byte in the archive, at most: deflate reaches 1032
PIECE = 1 << 20  # bytes inflated at once


def read_arrays(file: Source, *names: str) -> list[np.ndarray]:
    """The arrays of these names in a .npz, as stored: numbers, truth values or texts.

    The archive may have any size. Of other members nothing is read.

    Raises:
        RawFault: missing, damaged, no such array, one of objects, larger than 1 GiB, or than its bytes can hold.
    """
    with open_seekable(file) as stream:
        size = size_of(stream)
        try:
            with zipfile.ZipFile(stream) as archive:
                return [_array(file, archive, name, size) for name in names]
        except OSError as error:
            if error.errno not in (
                None,
                errno.EINVAL,
            ):  # bz2 has no error of its own, a damaged table leads before the start
                raise
            raise RawFault(file, f"unreadable npz ({str(error)[:200]})") from error
        except DAMAGED_ZIP as error:
            raise RawFault(file, f"unreadable npz ({str(error)[:200] or type(error).__name__})") from error


def _array(file: Source, archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    member = f"{name}.npy"
    blamed = Zipped(Path(str(file)), member)
    there = archive.namelist()
    if there.count(member) != 1:
        known = ", ".join(sorted(other.removesuffix(".npy") for other in there))
        raise RawFault(file, f"has the arrays {known[:200]}, expected one {name}")
    info = archive.getinfo(member)
    with archive.open(info) as stream:
        head = stream.read(MAX_HEADER)
        header = read_header(blamed, io.BytesIO(head))
        _refuse_lies(blamed, header, info, size)
        values = np.empty(header.byte_count, np.uint8)
        place, piece = 0, head[header.start :]
        while piece:  # to the end, where the checksum is compared
            values[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
            place += len(piece)
            piece = stream.read(PIECE)
    if place != len(values):
        raise RawFault(blamed, f"unreadable numpy file (its header promises {header}, but {place} follow)")
    return header.shaped(values)


def _refuse_lies(member: Zipped, header: NpyHeader, info: zipfile.ZipInfo, size: int) -> None:
    """Raise RawFault for an array that has not the size which the archive says, or one that its bytes cannot hold."""
    found = info.file_size - header.start
    if header.byte_count != found:
        raise RawFault(member, f"unreadable numpy file (its header promises {header}, but {found} follow)")
    most = min(MAX_BYTES, MOST_PER_BYTE * min(info.compress_size, size))
    if header.byte_count > most:
        raise RawFault(member, f"its header promises {header}, expected at most {most}")
