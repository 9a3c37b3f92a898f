"""Images from bytes, in the layout of their sensor: depth and cameras know nothing of a rotation noted in EXIF.

OpenCV decodes: of 16 bits the upper 8 are kept (a TIFF's colors are rounded), transparency is ignored. For what users
bring, see `photo`.
"""

import cv2
import numpy as np

JPEG_START = b"\xff\xd8\xff"
# The color flags of the same reductions would ask for blue, green, red.
REDUCED_FLAGS = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def read_image(data: bytes, reduction: int = 1) -> np.ndarray:
    """Decode a JPEG, PNG or the like. Raises ValueError if the bytes are not a whole image.

    Args:
        data: the bytes.
        reduction: 1, 2, 4 or 8: decode so many times smaller (see `is_jpeg`), which saves most of the arithmetic.

    Returns:
        [ceil(H / reduction), ceil(W / reduction), 3] uint8 RGB. A pixel is the mean of reduction x reduction pixels, so
        intrinsics are divided by the reduction exactly, whether or not it divides H and W.
    """
    return _decoded(data, cv2.IMREAD_COLOR_RGB | REDUCED_FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)


def read_values(data: bytes) -> np.ndarray:
    """The values of a depth map or mask as they are stored: [H, W] or [H, W, channels]. ValueError as `read_image`."""
    return _decoded(data, cv2.IMREAD_UNCHANGED)


def is_jpeg(data: bytes) -> bool:
    """Return True for a JPEG. Only those can be decoded smaller than they are: their blocks of 8 x 8 become 4, 2 or 1 wide."""
    return data.startswith(JPEG_START)


def shows_turned(data: bytes, image: np.ndarray) -> bool:
    """Return True if a decoder that follows EXIF shows something else than `image`, which `read_image` made of the bytes."""
    if b"Exif\0\0" not in data[:65536]:
        return False
    try:
        return not np.array_equal(_decoded(data, cv2.IMREAD_COLOR_RGB), image)
    except ValueError:
        return True


def _decoded(data: bytes, flags: int) -> np.ndarray:
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError("unreadable picture") from error
    if values is None:
        raise ValueError("unreadable picture")
    return values
