"""Reading raw pictures and depth maps; what cannot be decoded is a `RawFault` that names the file."""

import io
import zlib
from pathlib import Path

import cv2
import numpy as np

from zipmap_pl.datasets import picture_coding
from zipmap_pl.preprocess.raw import RawFault

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"


def read_bytes(file: Path) -> bytes:
    """The file's bytes. Raises RawFault if it is missing or empty; other errors of the system stay what they are."""
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise RawFault(file, "missing") from error
    if not data:
        raise RawFault(file, "empty file")
    return data


def read_picture(file: Path) -> tuple[np.ndarray, bytes | None]:
    """A picture [H, W, 3] uint8 RGB, in the layout of its sensor (an EXIF rotation is not applied).

    Returns:
        the picture, and the file's bytes if it is a JPEG that every decoder shows the same way.
    """
    data = _picture_bytes(file)
    try:
        image = picture_coding.read_picture(data)
    except ValueError as error:
        raise RawFault(file, str(error)) from error
    return image, data if data.startswith(JPEG_START) and not _is_turned(data, image) else None


def read_depth_png(file: Path) -> np.ndarray:
    """A one-channel 16-bit (or 8-bit) PNG [H, W], as stored."""
    values = picture_coding.decode(_picture_bytes(file), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise RawFault(file, "unreadable picture")
    if values.ndim != 2:
        raise RawFault(file, f"depth has {values.shape[2]} channels, expected 1")
    return values


def read_depth_npy(file: Path) -> np.ndarray:
    """A numpy array [H, W] of numbers; never unpickled."""
    try:
        values = np.load(io.BytesIO(read_bytes(file)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise RawFault(file, f"unreadable numpy file ({error})") from error
    values = np.squeeze(values)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise RawFault(file, f"depth is {values.dtype}{list(values.shape)}, expected numbers [H, W]")
    return values


def _picture_bytes(file: Path) -> bytes:
    """The file's bytes; a damaged PNG is found here, because libpng would tell it on standard error in its own words."""
    data = read_bytes(file)
    place = len(PNG_START)
    while data.startswith(PNG_START) and data[place + 4 : place + 8] != b"IEND":
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if data[end : end + 4] != zlib.crc32(data[place + 4 : end]).to_bytes(4, "big"):
            raise RawFault(file, "unreadable picture: the PNG is cut off or altered")
        place = end + 4
    return data


def _is_turned(data: bytes, image: np.ndarray) -> bool:
    """Whether a decoder that follows EXIF would turn the picture: then its bytes are not `image`."""
    if b"Exif\0\0" not in data[:65536]:
        return False
    turned = picture_coding.decode(data, cv2.IMREAD_COLOR_RGB)
    return turned is None or not np.array_equal(turned, image)
