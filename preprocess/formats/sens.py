"""ScanNet's `.sens` container, read in place: a header, then one record per frame that is found by seeking, never unpacked.

Little-endian, without padding. Header: version (4), length and text of the sensor's name, intrinsics and extrinsics of
the colour and of the depth camera (4x4 each), kinds of compression, sizes, depth shift, number of frames. Record: camera
to world (4x4), two timestamps, byte counts of picture and depth, both. After the last record, IMU readings: a number,
then as many times 128 bytes. Nothing that the file promises is believed before its size says that it can be true.
"""

import logging
import struct
import zlib
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zipmap_pl.preprocess.formats.raw_file import facts_of
from zipmap_pl.preprocess.raw import RawFault

log = logging.getLogger(__name__)

VERSION = 4
MAX_NAME = 1024  # bytes of the sensor's name
MAX_SIDE = 8192  # pixels
MAX_FRAMES = 100_000  # an hour; the longest scans have some 10,000
MAX_PART = 1 << 26  # bytes of one compressed picture or depth
HEAD = struct.Struct("<IQ")
CAMERAS = struct.Struct("<64f2i4IfQ")
POSE = struct.Struct("<16f")
COUNTS = struct.Struct("<2Q")  # after pose and timestamps
COUNTS_AT, RECORD = 80, 96  # bytes
IMU_RECORD = 128
COLOUR_KINDS = {-1: "unknown", 0: "raw", 1: "PNG", 2: "JPEG"}
DEPTH_KINDS = {-1: "unknown", 0: "raw", 1: "zlib", 2: "Occipital's codec"}
JPEG, ZLIB = 2, 1


@dataclass(frozen=True)
class Header:
    """What a .sens says before its first frame.

    Attributes:
        colour_size, depth_size: height, width.
        depth_intrinsics: [4, 4], as stored: the principal point counts from the centre of the first pixel.
        extrinsics: [2, 4, 4], of the colour and of the depth camera; identities where depth is registered to colour.
        depth_shift: stored values per metre.
        frames: how many are promised.
        start: bytes before the first frame.
    """

    colour_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_intrinsics: np.ndarray
    extrinsics: np.ndarray
    depth_shift: float
    frames: int
    start: int


@dataclass(frozen=True)
class Record:
    """One frame, not decoded: camera to world [4, 4] float64 (-inf where tracking was lost), picture, depth."""

    cam_to_world: np.ndarray
    picture: bytes
    depth: bytes


@dataclass(frozen=True)
class Index:
    """Where the frames are.

    Attributes:
        places: [n, 3] uint64: start of the record, bytes of the picture, bytes of the depth. 24 bytes a frame is all
            that is kept of a file.
        end: why there are no more, where more were promised.
    """

    places: np.ndarray
    end: str = ""


def read_header(file: Path) -> Header:
    """The header. Raises RawFault if the file is missing, damaged, or of another version or compression than ScanNet's."""
    return _header(file, *_version_of(file))


def frame_index(file: Path) -> Index:
    """Where the frames are: found by going from record to record, which reads 16 bytes of each."""
    return _index(file, *_version_of(file))


def read_cam_to_world(file: Path, frame: int) -> np.ndarray:
    """Camera to world [4, 4] float64 of a frame. Raises RawFault if the frame is not there."""
    start, _, _ = _place(file, frame)
    with file.open("rb") as stream:
        return _cam_to_world(_exactly(stream, file, start, POSE.size))


def read_record(file: Path, frame: int) -> Record:
    """A frame, not decoded. Raises RawFault if it is not there, or larger than a frame can be."""
    start, picture, depth = _place(file, frame)
    for name, count in (("picture", picture), ("depth", depth)):
        if not 0 < count <= MAX_PART:
            raise RawFault(file, f"{name} of {count} bytes, expected 1 to {MAX_PART}")
    with file.open("rb") as stream:
        data = _exactly(stream, file, start, RECORD + picture + depth)
    return Record(_cam_to_world(data[: POSE.size]), data[RECORD : RECORD + picture], data[RECORD + picture :])


def inflate_depth(file: Path, data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Depth [H, W] uint16 of a record. Raises RawFault if it is not exactly as much; never inflates more than one frame."""
    wanted = size[0] * size[1] * 2
    stream = zlib.decompressobj()
    try:
        values = stream.decompress(data, wanted + 1)
    except zlib.error as error:
        raise RawFault(file, f"unreadable depth ({error})") from error
    if len(values) != wanted or not stream.eof:
        raise RawFault(file, f"unreadable depth: not the {wanted} bytes of {size[1]}x{size[0]} values")
    return np.frombuffer(values, "<u2").reshape(size)


def _version_of(file: Path) -> tuple[int, int]:
    """Size and time of the last change: what is remembered of a file holds for these."""
    found = facts_of(file)
    if found.st_size == 0:
        raise RawFault(file, "empty file")
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=8)
def _header(file: Path, size: int, changed: int) -> Header:
    with file.open("rb") as stream:
        data = stream.read(HEAD.size + MAX_NAME + CAMERAS.size)
    if len(data) < HEAD.size:
        raise RawFault(file, f"cut off in its header: {size} bytes")
    version, name = HEAD.unpack_from(data)
    if version != VERSION:
        raise RawFault(file, f"version is {version}, expected {VERSION}")
    if name > MAX_NAME:
        raise RawFault(file, f"the sensor's name has {name} bytes, expected at most {MAX_NAME}")
    start = HEAD.size + name + CAMERAS.size
    if len(data) < start:
        raise RawFault(file, f"cut off in its header: {size} bytes, expected {start} and frames")
    values = CAMERAS.unpack_from(data, HEAD.size + name)
    matrices = np.array(values[:64]).reshape(4, 4, 4)
    colour, depth, width, height, depth_width, depth_height, shift, frames = values[64:]
    if colour != JPEG:
        raise RawFault(file, f"pictures are coded as {colour} ({COLOUR_KINDS.get(colour, '?')}), expected 2 (JPEG)")
    if depth != ZLIB:
        raise RawFault(file, f"depth is coded as {depth} ({DEPTH_KINDS.get(depth, '?')}), expected 1 (zlib)")
    for kind, sides in (("pictures", (width, height)), ("depth", (depth_width, depth_height))):
        if not all(0 < side <= MAX_SIDE for side in sides):
            raise RawFault(file, f"{kind} of {sides[0]}x{sides[1]}, expected sides from 1 to {MAX_SIDE}")
    if not 0 < shift < float("inf"):
        raise RawFault(file, f"depth shift is {shift:g}, expected values per metre, as 1000")
    extrinsics = matrices[[1, 3]]
    return Header((height, width), (depth_height, depth_width), matrices[2], extrinsics, shift, frames, start)


@lru_cache(maxsize=4)
def _index(file: Path, size: int, changed: int) -> Index:
    header = _header(file, size, changed)
    promised = min(header.frames, MAX_FRAMES)
    places = array("Q")
    start = header.start
    with file.open("rb", buffering=0) as stream:
        for frame in range(promised):
            whole = start + RECORD <= size
            picture, depth = COUNTS.unpack(_exactly(stream, file, start + COUNTS_AT, COUNTS.size)) if whole else (0, 0)
            following = start + RECORD + picture + depth
            if following > size:
                end = f"cut off (or its byte counts lie): {frame} of {header.frames} frames are there"
                return Index(_table(places), end)
            places.extend((start, picture, depth))
            start = following
        _tell_what_follows(stream, file, start, size)
    return Index(_table(places))


def _tell_what_follows(stream: BinaryIO, file: Path, start: int, size: int) -> None:
    """Warn of what is behind the promised frames and is no IMU block: perhaps more frames."""
    rest = size - start
    readings = int.from_bytes(_exactly(stream, file, start, 8), "little") if rest >= 8 else 0
    if rest > 8 and rest != 8 + IMU_RECORD * readings:
        log.warning("%s: %d bytes follow its last frame and are no IMU readings: are there more frames?", file, rest)


def _table(places: array) -> np.ndarray:
    return np.array(places, np.uint64).reshape(-1, 3)


def _place(file: Path, frame: int) -> tuple[int, int, int]:
    index = frame_index(file)
    if frame >= len(index.places):
        raise RawFault(file, index.end or f"holds {len(index.places)} frames only")
    start, picture, depth = index.places[frame].tolist()
    return start, picture, depth


def _exactly(stream: BinaryIO, file: Path, start: int, count: int) -> bytes:
    """Bytes from a place that the file's size says are there."""
    stream.seek(start)
    data = stream.read(count)
    if len(data) != count:
        raise RawFault(file, "became shorter while it was read")
    return data


def _cam_to_world(data: bytes) -> np.ndarray:
    return np.array(POSE.unpack(data)).reshape(4, 4)
