"""Pictures from bytes, in the layout of their sensor: depth and cameras know nothing of a rotation noted in EXIF."""

import cv2
import numpy as np


def read_picture(data: bytes) -> np.ndarray:
    """Decode a JPEG, PNG or the like: [H, W, 3] uint8 RGB. Raises ValueError if the bytes are no whole picture."""
    picture = decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise ValueError("unreadable picture")
    return picture


def decode(data: bytes, flags: int) -> np.ndarray | None:
    """`cv2.imdecode` with `cv2.IMREAD_*` flags; None for whatever it cannot decode."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
