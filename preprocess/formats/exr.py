"""OpenEXR files (depth of OmniObject3D, MatrixCity, MVS-Synth, BEDLAM), read by the official library (extra `exr`).

The library believes a header and takes memory for what it promises, so the header is read here first and compared with
the bytes that follow it. What cannot be decoded is a `RawFault` that names the file.
"""

import ctypes
import io
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import numpy as np

from zipmap_pl.preprocess.formats.extras import library
from zipmap_pl.preprocess.formats.sources import Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault

MAGIC = b"v/1\x01"
VERSION = 2  # the lowest byte of the four after MAGIC
TILED, DEEP, PARTS = 0x200, 0x800, 0x1000  # flags in the others
WINDOW = struct.Struct("<4i")  # first column, first row, last column, last row
CHANNEL = struct.Struct("<iB3xii")  # after its name: type, linear, 3 unused bytes, steps in x and y
TYPES = {0: "integers", 1: "half floats", 2: "floats"}
BYTES = (4, 2, 4)  # of a value of these types
MAX_VALUES = 1 << 26  # of all channels together; 268 MB as floats
# Bytes of values for a byte in the file, at most, by compression: none, runs, and what uses deflate. Others have no limit.
MOST_PER_BYTE = {0: 1, 1: 64, 2: 1100, 3: 1100, 5: 2200}
ROWS = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}  # that are compressed together
LEAST_BLOCK = 16  # bytes: a place in the table of blocks, and the block's own row and length
# What the library raises for damaged files (UnicodeDecodeError is a ValueError), which are in memory by then.
DAMAGED = (ValueError, RuntimeError, OSError, TypeError, KeyError)

_silence = threading.Lock()


@dataclass(frozen=True)
class _Header:
    """Height and width; name -> (type, steps in x and y) of each channel."""

    size: tuple[int, int]
    channels: dict[str, tuple[int, tuple[int, int]]]


def read_exr(file: Source, *channels: str) -> np.ndarray:
    """One channel of an EXR [H, W] float32, as stored: half floats are widened exactly, infinity and NaN stay.

    While the library decodes, what any thread of this process prints is lost: the library prints what it thinks of
    damage, by Python's `sys.stdout` and by descriptor 2.

    Args:
        file: a file of one part, with lines or tiles, whose values cover the whole of the image.
        channels: names in order of preference; the first that the file has is read.

    Raises:
        RawFault: missing, damaged, another kind of EXR, none of these channels, or larger than 67 million values.
        UserError: the library is not installed.
    """
    openexr = library("OpenEXR", "exr", "reading .exr files")
    data = read_bytes(file)
    header = _header(file, data)
    name = next((name for name in channels if name in header.channels), None)
    if name is None:
        raise RawFault(file, f"has the channels {', '.join(header.channels)}, expected {' or '.join(channels)}")
    kind, steps = header.channels[name]
    if kind not in (1, 2) or steps != (1, 1):
        text = f"{TYPES[kind]}, one for {steps[0]}x{steps[1]} pixels"
        raise RawFault(file, f"channel {name} has {text}, expected floats or half floats, one per pixel")
    try:
        with _silenced():
            image = openexr.File(io.BytesIO(data), separate_channels=True, num_threads=0)
            values = image.channels()[name].pixels  # of a part that could not be decoded, there is none
    except DAMAGED as error:
        raise RawFault(file, f"unreadable EXR ({_one_line(error)})") from error
    if values is None or values.shape != header.size:
        raise RawFault(
            file, f"unreadable EXR: channel {name} is not the {header.size[1]}x{header.size[0]} of its header"
        )
    return values.astype(np.float32)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _header(file: Source, data: bytes) -> _Header:
    flags = int.from_bytes(data[4:8], "little")
    if not data.startswith(MAGIC) or flags & 0xFF != VERSION:
        raise RawFault(file, f"begins with {data[:8]!r}, expected an EXR of version {VERSION}")
    if flags & (DEEP | PARTS):
        raise RawFault(file, "is an EXR of several parts or of deep pixels, expected one part of plain ones")
    try:
        found, start = _attributes(data)
        channels = _channels(found["channels"])
        window, shown = WINDOW.unpack(found["dataWindow"]), WINDOW.unpack(found["displayWindow"])
        (compression,) = found["compression"]
        tile = struct.unpack("<2IB", found["tiles"]) if flags & TILED else None
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise RawFault(file, f"unreadable EXR: its header is cut off or altered ({_one_line(error)})") from error
    size = window[3] - window[1] + 1, window[2] - window[0] + 1
    if window != shown:
        raise RawFault(file, f"its values cover {window} of {shown}, expected the whole of the image")
    _refuse_lies(file, size, channels, compression, tile, len(data) - start)
    return _Header(size, channels)


def _refuse_lies(
    file: Source,
    size: tuple[int, int],
    channels: dict[str, tuple[int, tuple[int, int]]],
    compression: int,
    tile: tuple[int, int, int] | None,
    left: int,
) -> None:
    """Raise RawFault if a header promises more than the `left` bytes after it can hold, or than we want to read."""
    height, width = size
    promise = f"its header promises {width}x{height} pixels of {len(channels)} channels"
    if not (height > 0 and width > 0 and channels and height * width * len(channels) <= MAX_VALUES):
        raise RawFault(file, f"unreadable EXR: {promise}, expected 1 to {MAX_VALUES} values")
    if tile and not 0 < tile[0] * tile[1] * len(channels) <= MAX_VALUES:
        raise RawFault(file, f"unreadable EXR: its header promises tiles of {tile[0]}x{tile[1]} pixels")
    block = tile[:2] if tile else (width, ROWS.get(compression, 256))
    blocks = -(-height // block[1]) * -(-width // block[0])
    wanted = sum(BYTES[kind] * (height // y) * (width // x) for kind, (x, y) in channels.values())
    most = (left - LEAST_BLOCK * blocks) * MOST_PER_BYTE.get(compression, wanted)
    if wanted > most:
        raise RawFault(file, f"unreadable EXR: {promise}, but {left} bytes follow")


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The attributes of a header by name, and where it ends. Each is name, 0, type, 0, its length, that many bytes."""
    found: dict[str, bytes] = {}
    place = 8
    while data[place]:
        name_end = data.index(b"\0", place)
        kind_end = data.index(b"\0", name_end + 1)
        start = kind_end + 5
        length = int.from_bytes(data[kind_end + 1 : start], "little")
        if start + length >= len(data):
            raise ValueError("an attribute is longer than the file")
        found[data[place:name_end].decode("latin-1")] = data[start : start + length]
        place = start + length
    return found, place + 1


def _channels(data: bytes) -> dict[str, tuple[int, tuple[int, int]]]:
    channels = {}
    place = 0
    while data[place]:
        end = data.index(b"\0", place)
        kind, _, *steps = CHANNEL.unpack_from(data, end + 1)
        if kind not in TYPES or min(steps) < 1:
            raise ValueError("a channel of unknown type")
        channels[data[place:end].decode("latin-1")] = (kind, (steps[0], steps[1]))
        place = end + 1 + CHANNEL.size
    return channels


@contextmanager
def _silenced() -> Iterator[None]:
    """Nothing that is printed meanwhile is seen, neither by Python nor by C, whose buffers are emptied before and after."""
    c = ctypes.CDLL(None)
    text = io.StringIO()
    with _silence, open(os.devnull, "wb") as nowhere, redirect_stdout(text), redirect_stderr(text):
        c.fflush(None)
        kept = os.dup(1), os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            c.fflush(None)
            for descriptor, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
