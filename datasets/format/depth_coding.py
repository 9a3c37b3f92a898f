"""Depth in 16 bits, a logarithmic code between the frame's nearest and farthest depth, as a numpy file inside Zstandard.

Encoder and decoder live here together.

    code 0          unknown
    code 1 ... 65534  near * (far / near) ** ((code - 1) / 65533)
    code 65535      sky, infinitely far

The relative error is half a step: below 0.1 % as long as far / near < 1e56, 0.005 % for a thousandfold range. All 16 bits
are used, though 12 would do for 0.1 %: normals are made of the depth, and steps of 0.1 % turn them by tens of degrees.

Zstandard, because it is smaller than a 16-bit PNG and decoded in a fraction of its time; docs/benchmarks.md has the
table. Its bytes depend on the version of the library, which is therefore part of a dataset's settings. Masks are PNG.
"""

import io
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import zstandard

from zipmap_pl.images.decode import read_values

UNKNOWN: Final = 0
SKY: Final = 65535
FIRST: Final = 1
LAST: Final = 65534

ZSTD_LEVEL: Final = 9
PNG_SETTINGS: Final = (cv2.IMWRITE_PNG_COMPRESSION, 4)
NOT_A_MASK: Final = "not a one-channel PNG of uint8"
NOT_CODES: Final = "not depth codes: expected a numpy file of uint16 [H, W] in one Zstandard frame"


def encode_depth(depth: np.ndarray, sky: np.ndarray | None = None) -> tuple[np.ndarray, tuple[float, float]]:
    """Code a depth map.

    Args:
        depth: [H, W] float, planar z; 0, negative or non-finite = unknown. Every finite positive depth is kept.
        sky: [H, W] bool, infinitely far; wins over depth.

    Returns:
        codes [H, W] uint16, and (near, far), the smallest and largest known depth; (0, 0) if there is none.
    """
    codes = np.full(depth.shape, UNKNOWN, np.uint16)
    valid = np.isfinite(depth) & (depth > 0)
    if sky is not None:
        valid &= ~sky
        codes[sky] = SKY
    values = depth[valid].astype(np.float64)
    if values.size == 0:
        return codes, (0.0, 0.0)
    near, far = float(values.min()), float(values.max())
    if far > near:
        share = (np.log(values) - np.log(near)) / (np.log(far) - np.log(near))
        codes[valid] = np.clip(np.rint(share * (LAST - FIRST)) + FIRST, FIRST, LAST).astype(np.uint16)
    else:
        codes[valid] = FIRST
    return codes, (near, far)


def decode_depth(codes: np.ndarray, near: float, far: float) -> np.ndarray:
    """Depth [..., H, W] float32 of codes [..., H, W] uint16; 0 where unknown or sky (sky is `codes == SKY`)."""
    return np.take(depth_table(near, far), codes)


def depth_table(near: float, far: float, limits: tuple[float, float] = (0.0, float("inf"))) -> np.ndarray:
    """What every code stands for: [65536] float32, 0 where unknown, sky, or outside of the limits."""
    if near <= 0:
        return np.zeros(SKY + 1, np.float32)
    # Powers of one step: those of 256 steps times those of single steps, 512 powers instead of 65,536.
    step = (np.log(far) - np.log(near)) / (LAST - FIRST)
    powers = np.multiply.outer(near * np.exp(256 * step * np.arange(256)), np.exp(step * np.arange(256)))
    depths = powers.astype(np.float32).ravel()[: LAST - FIRST + 1]
    first, end = np.searchsorted(depths, np.float32(limits[0])), np.searchsorted(depths, np.float32(limits[1]), "right")
    table = np.zeros(SKY + 1, np.float32)
    table[FIRST + first : FIRST + end] = depths[first:end]
    return table


def write_codes(codes: np.ndarray) -> bytes:
    """Codes [H, W] uint16 as bytes; the same bytes for the same codes and version of the library."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(codes, "<u2"), allow_pickle=False)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(file.getbuffer())


def read_codes(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """The codes [H, W] uint16 of `write_codes`, read-only.

    Args:
        data: the bytes.
        size: H, W that is expected. What claims to be larger is refused before it takes memory.

    Raises:
        ValueError: no codes, or of another size.
    """
    header = _header(*size)
    wanted = len(header) + 2 * size[0] * size[1]
    try:
        found = zstandard.frame_content_size(data)
        content = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False) if found == wanted else b""
    except zstandard.ZstdError as error:
        raise ValueError(NOT_CODES) from error
    if not content.startswith(header):
        raise ValueError(f"{NOT_CODES}, {size[1]} x {size[0]} pixels")
    return np.frombuffer(content, "<u2", offset=len(header)).reshape(size)


@lru_cache(maxsize=64)
def _header(height: int, width: int) -> bytes:
    """What numpy writes before the numbers of a uint16 array [height, width]."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": (height, width)})
    return file.getvalue()


def write_png(mask: np.ndarray) -> bytes:
    """A mask [H, W] uint8 as PNG bytes."""
    return cv2.imencode(".png", mask, PNG_SETTINGS)[1].tobytes()


def read_png(data: bytes) -> np.ndarray:
    """The mask of `write_png`: [H, W] uint8. Raises ValueError if the bytes are no such PNG."""
    try:
        mask = read_values(data)
    except ValueError as error:
        raise ValueError(NOT_A_MASK) from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(NOT_A_MASK)
    return mask
