"""TFRecord files (Waymo), read in place: records by where they are, each compared with its checksum when it is read.

A record is its length (8 bytes, little-endian), a checksum of those, the data, a checksum of the data. Checksums are
CRC32C, turned and moved ("masked"). They are computed by google-crc32c (extra `waymo`).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.preprocess.formats.extras import library
from zipmap_pl.preprocess.formats.seekable import open_seekable, read_part, size_of
from zipmap_pl.preprocess.raw import RawFault

HEAD = struct.Struct("<QI")  # length and its checksum
LENGTH, CHECKSUM = 8, 4  # bytes
MASK_DELTA = 0xA282EAD8
MAX_RECORD = 1 << 28  # bytes; a frame of Waymo has some 5 MB


@dataclass(frozen=True)
class Records:
    """Where the records of a file are.

    Attributes:
        places: [N, 2] uint64, start and length of the data of each.
        end: why the file cannot be followed to its end; empty if it can. What `places` has is there all the same.
    """

    places: np.ndarray
    end: str = ""


def find_records(file: Path) -> Records:
    """The places of all records. Only lengths are read, and compared with their checksums.

    Raises:
        RawFault: missing, empty, no file. A record that is cut off, or a length that is altered, is `end`.
        UserError: google-crc32c is not installed.
    """
    places: list[tuple[int, int]] = []
    end = ""
    with open_seekable(file) as stream:
        size, place = size_of(stream), 0
        while place < size and not end:
            stream.seek(place)
            head = stream.read(HEAD.size)
            length, checksum = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)
            following = place + HEAD.size + length + CHECKSUM
            if len(head) == HEAD.size and _masked(head[:LENGTH]) != checksum:
                end = f"the length of record {len(places)} does not fit its checksum: {size - place} bytes are lost"
            elif following > size:
                end = f"cut off in record {len(places)}: {size} bytes, expected at least {following}"
            elif length > MAX_RECORD:
                end = f"record {len(places)} has {length} bytes, expected at most {MAX_RECORD}"
            else:
                places.append((place + HEAD.size, length))
            place = following
    return Records(np.array(places, np.uint64).reshape(-1, 2), end)


def read_record(file: Path, start: int, length: int) -> bytes:
    """The data of a record at a place that `find_records` found.

    Raises:
        RawFault: it is not there (any more), or does not fit its checksum.
        UserError: google-crc32c is not installed.
    """
    start, length = int(start), int(length)
    if length > MAX_RECORD:
        raise RawFault(file, f"a record of {length} bytes, expected at most {MAX_RECORD}")
    with open_seekable(file) as stream:
        both = read_part(file, stream, start, length + CHECKSUM)
    data = both[:length]
    if _masked(data) != int.from_bytes(both[length:], "little"):
        raise RawFault(file, f"the record at byte {start} does not fit its checksum")
    return data


def _masked(data: bytes) -> int:
    value = library("google_crc32c", "waymo", "reading TFRecords").value(data)
    return ((value >> 15 | value << 17) + MASK_DELTA) & 0xFFFFFFFF
