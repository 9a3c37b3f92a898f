"""PNGs that hold more than colors: transparency, and floating-point numbers packed into their bits."""

import numpy as np

from zipmap_pl.images.decode import read_values
from zipmap_pl.images.limits import PNG_START, refuse_damage
from zipmap_pl.images.png_side_data import still
from zipmap_pl.preprocess.formats.pictures import read_depth_png
from zipmap_pl.preprocess.formats.sources import Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault

RGBA = [2, 1, 0, 3]  # OpenCV decodes blue, green, red, alpha


def read_png_channels(file: Source) -> np.ndarray:
    """Colors and alpha [H, W, 4] uint8 RGBA of an 8-bit PNG, as stored: nothing is blended. Alpha is 255 if it has none.

    Raises:
        RawFault: missing, damaged, no PNG, or 16 bits per channel.
    """
    values = _read_8_bits(file)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    if values.shape[2] == 3:
        values = np.concatenate([values, np.full_like(values[:, :, :1], 255)], axis=2)
    return values[:, :, RGBA]


def read_float_png(file: Source) -> np.ndarray:
    """Depth [H, W] float32, as stored, of an 8-bit RGBA PNG whose four bytes are a number (TartanGround: meters).

    The bytes in the order blue, green, red, alpha are the number, little-endian: 1.5 is red 192, green 0, blue 0,
    alpha 63. Values that are not finite stay what they are.

    Raises:
        RawFault: as `read_png_channels`; no alpha.
    """
    values = _read_8_bits(file)
    if values.ndim != 3 or values.shape[2] != 4:
        channels = 1 if values.ndim == 2 else values.shape[2]
        raise RawFault(file, f"depth has {channels} channels, expected 4 (the bytes of a number)")
    return np.ascontiguousarray(values).view("<f4")[:, :, 0].astype(np.float32, copy=False)


def read_half_png(file: Source) -> np.ndarray:
    """Depth [H, W] float32, as stored, of a 16-bit PNG whose bits are half floats (CO3Dv2, Dynamic Replica, Mid-Air).

    18688 is 10.0. Values that are not finite stay what they are.

    Raises:
        RawFault: missing, damaged, more than one channel, or not 16 bits.
    """
    values = read_depth_png(file)
    if values.dtype != np.uint16:
        raise RawFault(file, f"depth is {values.dtype}, expected 16 bits (of half floats)")
    return values.view(np.float16).astype(np.float32)


def _read_8_bits(file: Source) -> np.ndarray:
    """[H, W] or [H, W, 3 or 4], in OpenCV's order."""
    data = read_bytes(file)
    if not data.startswith(PNG_START):
        raise RawFault(file, f"begins with {data[:8]!r}, expected a PNG")
    try:
        refuse_damage(data)
        values = read_values(still(data))
    except ValueError as error:
        raise RawFault(file, str(error)) from error
    if values.dtype != np.uint8:
        raise RawFault(file, f"its channels are {values.dtype}, expected 8 bits")
    return values
