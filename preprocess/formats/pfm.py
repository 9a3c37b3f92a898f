"""Portable float maps (.pfm), the depth of BlendedMVS; what cannot be decoded is a `RawFault` that names the file.

Three lines of text (`Pf`, width and height, scale), then the values, the bottom row first. A negative scale says that
they are little-endian.
"""

import re

import numpy as np

from zipmap_pl.preprocess.formats.sources import Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault

MAX_HEADER = 128  # bytes
HEADER = re.compile(
    rb"Pf[ \t]*\r?\n(\d{1,6})[ \t]+(\d{1,6})[ \t]*\r?\n([-+]?[\d.]{1,20}(?:[eE][-+]?\d{1,2})?)[ \t]*\r?\n"
)


def read_pfm(file: Source) -> np.ndarray:
    """The values [H, W] float32 of a map of one channel, the top row first, as stored: in the dataset's own unit.

    Of the scale only the sign counts, as in every published reader of BlendedMVS.

    Raises:
        RawFault: no such map, or not exactly as many bytes as its header promises.
    """
    data = read_bytes(file)
    header = HEADER.match(data[:MAX_HEADER])
    if not header:
        raise RawFault(file, f"unreadable PFM: begins with {data[:24]!r}, expected Pf, width and height, scale")
    width, height = int(header[1]), int(header[2])
    try:
        scale = float(header[3])
    except ValueError:
        scale = 0.0
    if not (scale and width and height):
        raise RawFault(file, f"unreadable PFM: {width}x{height}, scale {header[3].decode()}, expected none of them 0")
    found, wanted = len(data) - header.end(), 4 * width * height
    if found != wanted:
        raise RawFault(
            file, f"unreadable PFM: its header promises {width}x{height}, {wanted} bytes, but {found} follow"
        )
    values = np.frombuffer(data, "<f4" if scale < 0 else ">f4", offset=header.end()).reshape(height, width)
    return np.ascontiguousarray(values[::-1], np.float32)
