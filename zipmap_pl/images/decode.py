"""Pictures from bytes, in the layout of their sensor: depth and cameras know nothing of a rotation noted in EXIF."""

import cv2
import numpy as np

JPEG_START = b"\xff\xd8\xff"
# The colour flags of the same reductions would ask for blue, green, red.
REDUCED_FLAGS = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def read_picture(data: bytes, reduction: int = 1) -> np.ndarray:
    """Decode a JPEG, PNG or the like. Raises ValueError if the bytes are no whole picture.

    Args:
        data: the bytes.
        reduction: 1, 2, 4 or 8: decode so many times smaller (see `can_reduce`), which saves most of the arithmetic.

    Returns:
        [ceil(H / reduction), ceil(W / reduction), 3] uint8 RGB. A pixel is the mean of reduction x reduction pixels, so
        intrinsics are divided by the reduction exactly, whether or not it divides H and W.
    """
    picture = decode(data, cv2.IMREAD_COLOR_RGB | REDUCED_FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise ValueError("unreadable picture")
    return picture


def can_reduce(data: bytes) -> bool:
    """Whether a picture can be decoded smaller than it is: JPEGs, whose blocks of 8 x 8 become 4, 2 or 1 pixels wide."""
    return data.startswith(JPEG_START)


def decode(data: bytes, flags: int) -> np.ndarray | None:
    """`cv2.imdecode` with `cv2.IMREAD_*` flags; None for whatever it cannot decode."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
