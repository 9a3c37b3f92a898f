"""Depth as 16-bit PNG: a logarithmic code between the frame's nearest and farthest depth.

Encoder and decoder live here together.

    code 0          unknown
    code 1 ... 65534  near * (far / near) ** ((code - 1) / 65533)
    code 65535      sky, infinitely far

The relative error is half a step: below 0.1 % as long as far / near < 1e56, 0.005 % for a thousandfold range.
"""

from typing import Final

import cv2
import numpy as np

from zipmap_pl.datasets.picture_coding import decode

UNKNOWN: Final = 0
SKY: Final = 65535
FIRST: Final = 1
LAST: Final = 65534

PNG_SETTINGS: Final = (cv2.IMWRITE_PNG_COMPRESSION, 4)


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
    table = np.zeros(SKY + 1, np.float32)
    if near > 0:
        step = (np.log(far) - np.log(near)) / (LAST - FIRST)
        table[FIRST : LAST + 1] = np.exp(np.log(near) + step * np.arange(LAST - FIRST + 1))
    return table[codes]


def write_png(codes: np.ndarray) -> bytes:
    """A 16-bit (depth codes) or 8-bit (mask) one-channel picture [H, W] as PNG bytes."""
    return cv2.imencode(".png", codes, PNG_SETTINGS)[1].tobytes()


def read_png(data: bytes, dtype: type[np.unsignedinteger]) -> np.ndarray:
    """The picture of `write_png`: [H, W] uint16 or uint8. Raises ValueError if the bytes are no PNG of that type."""
    picture = decode(data, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 2 or picture.dtype != dtype:
        raise ValueError(f"not a one-channel PNG of {np.dtype(dtype)}")
    return picture
