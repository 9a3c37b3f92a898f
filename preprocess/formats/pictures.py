"""Reading raw pictures and depth maps; what cannot be decoded is a `RawFault` that names the file."""

import io
import math
import struct
import tokenize
import zlib
from pathlib import Path

import cv2
import numpy as np

from zipmap_pl.images import decode as picture_coding
from zipmap_pl.preprocess.formats.sources import Source, Zipped, read_bytes
from zipmap_pl.preprocess.raw import RawFault

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of the segments that tell a JPEG's size
PNG_CHUNK, PNG_CHECKSUM = (
    struct.Struct(">I4s"),
    struct.Struct(">I"),
)  # length and kind before its data, and what follows
MAX_PIXELS = 1 << 27  # 400 MB as RGB; OpenCV would take eight times as much before it sees that a header lies


def read_picture(file: Source) -> tuple[np.ndarray, bytes | None]:
    """A picture [H, W, 3] uint8 RGB, in the layout of its sensor (an EXIF rotation is not applied).

    Returns:
        the picture, and the file's bytes if it is a JPEG that every decoder shows the same way.
    """
    return decoded_picture(file, read_bytes(file))


def decoded_picture(file: Source, data: bytes) -> tuple[np.ndarray, bytes | None]:
    """The same of the bytes of a JPEG or PNG that a file holds. RawFault blames the file."""
    _refuse_damage(file, data)
    try:
        image = picture_coding.read_picture(data)
    except ValueError as error:
        raise RawFault(file, str(error)) from error
    return image, data if data.startswith(JPEG_START) and not _is_turned(data, image) else None


def read_depth_png(file: Source) -> np.ndarray:
    """A one-channel 16-bit (or 8-bit) PNG [H, W], as stored."""
    data = read_bytes(file)
    _refuse_damage(file, data)
    values = picture_coding.decode(data, cv2.IMREAD_UNCHANGED)
    if values is None:
        raise RawFault(file, "unreadable picture")
    if values.ndim != 2:
        raise RawFault(file, f"depth has {values.shape[2]} channels, expected 1")
    return values


def read_depth_in_16_bits(file: Source, per_unit: float) -> np.ndarray:
    """Depth [H, W] float32 in raw units of a 16-bit PNG that holds so many values per unit; 0 stays 0."""
    values = read_depth_png(file)
    if values.dtype != np.uint16:
        raise RawFault(file, f"depth is {values.dtype}, expected 16 bits")
    return in_units(values, per_unit)


def in_units(values: np.ndarray, per_unit: float) -> np.ndarray:
    """Stored values by how many of them are a unit, float32: the nearest to the exact quotient."""
    wide = values.dtype.itemsize > 2 or per_unit != np.float32(per_unit)  # a quotient of small integers is exact enough
    return (values / (np.float64(per_unit) if wide else np.float32(per_unit))).astype(np.float32, copy=False)


def read_depth_npy(file: Source) -> np.ndarray:
    """A numpy array [H, W] of numbers; never unpickled."""
    values = np.squeeze(read_npy(file))
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise RawFault(file, f"depth is {values.dtype}{list(values.shape)}, expected numbers [H, W]")
    return values


def read_npy(file: Source) -> np.ndarray:
    """The array of a .npy file; never unpickled. Its header is believed only if the file is as long as it says."""
    data = read_bytes(file)
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
    except (ValueError, TypeError, SyntaxError, EOFError, tokenize.TokenError) as error:
        raise RawFault(file, f"unreadable numpy file ({error})") from error
    found, wanted = len(data) - stream.tell(), math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=1) < 0 or found != wanted:
        text = f"{dtype}{list(shape)}, that is {wanted} bytes, but {found} follow"
        raise RawFault(file, f"unreadable numpy file (its header promises {text})")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")


def read_npz(file: Path, *names: str) -> list[np.ndarray]:
    """The arrays of numbers of these names in a .npz on disk, float64."""
    read_bytes(file)  # a missing file, a folder: a fault
    arrays = []
    for name in names:
        values = read_npy(Zipped(file, f"{name}.npy"))
        if values.dtype.kind not in "fiu":
            raise RawFault(file, f"{name} is {values.dtype}, expected numbers")
        arrays.append(values.astype(np.float64))
    return arrays


def _refuse_damage(file: Source, data: bytes) -> None:
    """Damage of PNGs is found here, because libpng would tell it on standard error in its own words; and lying sizes."""
    if data.startswith(PNG_START) and not _is_whole_png(data):
        raise RawFault(file, "unreadable picture: the PNG is cut off or altered")
    width, height = _promised_size(data)
    if width * height > MAX_PIXELS:
        raise RawFault(file, f"unreadable picture: its header promises {width}x{height} pixels")


def _is_whole_png(data: bytes) -> bool:
    """Whether every chunk up to the last one has the checksum that it tells."""
    view, place = memoryview(data), len(PNG_START)
    try:
        while True:
            length, kind = PNG_CHUNK.unpack_from(data, place)
            if kind == b"IEND":
                return True
            end = place + PNG_CHUNK.size + length
            if PNG_CHECKSUM.unpack_from(data, end) != (zlib.crc32(view[place + 4 : end]),):
                return False
            place = end + PNG_CHECKSUM.size
    except struct.error:  # the data end before
        return False


def _promised_size(data: bytes) -> tuple[int, int]:
    """Width and height that a PNG or JPEG tells before it is decoded; 0, 0 if it tells none."""
    if data.startswith(PNG_START):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    place = 2
    while data.startswith(JPEG_START) and data[place : place + 1] == b"\xff" and place + 9 <= len(data):
        if data[place + 1] in JPEG_SIZES:
            return int.from_bytes(data[place + 7 : place + 9], "big"), int.from_bytes(
                data[place + 5 : place + 7], "big"
            )
        filler = data[place + 1 : place + 2] == b"\xff"
        place += 1 if filler else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0, 0


def _is_turned(data: bytes, image: np.ndarray) -> bool:
    """Whether a decoder that follows EXIF would turn the picture: then its bytes are not `image`."""
    if b"Exif\0\0" not in data[:65536]:
        return False
    turned = picture_coding.decode(data, cv2.IMREAD_COLOR_RGB)
    return turned is None or not np.array_equal(turned, image)
