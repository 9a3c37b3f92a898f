"""What is seen of a file before it is decoded: damage that a decoder would not report as such, and sizes that lie."""

import io
import struct
import warnings
import zlib

from PIL import Image

from zipmap_pl.images.decode import is_jpeg

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of the segments that hold a JPEG's size
PNG_CHUNK = struct.Struct(">I4s")  # length and kind before its data,
PNG_CHECKSUM = struct.Struct(">I")  # and what follows them
MAX_PIXELS = 1 << 27  # 400 MB as RGB; OpenCV would take eight times as much before it sees that a header lies

# What Pillow raises for an image that it cannot read; SyntaxError is its word for a broken file, and its plugins raise
# whatever they stumble over. The image is in memory, so none of these is an error of the system.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    zlib.error,
    struct.error,
)


def refuse_damage(data: bytes) -> None:
    """Raise ValueError for a PNG that is cut off or altered, and for a header that promises no or too many pixels.

    libpng would report its damage on standard error, in its own words. OpenCV decodes formats whose size is not known here
    (Radiance, PAM, PFM), and would take the memory that they promise first.
    """
    if data.startswith(PNG_START) and not _is_whole_png(data):
        raise ValueError("unreadable picture: the PNG is cut off or altered")
    height, width = promised_size(data)
    if height < 1 or width < 1:
        raise ValueError("unreadable picture: it begins like none of JPEG, PNG, TIFF, WebP and the like")
    refuse_size(height, width)


def refuse_size(height: int, width: int) -> None:
    """Raise ValueError for more than `MAX_PIXELS` pixels to decode."""
    if height * width > MAX_PIXELS:
        raise ValueError(f"unreadable picture: its header promises {width}x{height} pixels")


def promised_size(data: bytes) -> tuple[int, int]:
    """Height and width that a header states before anything is decoded; 0, 0 if it states none."""
    if data.startswith(PNG_START):
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    stated = _promised_by_jpeg(data) if is_jpeg(data) else (0, 0)
    return stated if all(stated) else _promised_by_others(data)


def _promised_by_jpeg(data: bytes) -> tuple[int, int]:
    place = 2
    while data[place : place + 1] == b"\xff" and place + 9 <= len(data):
        if data[place + 1] in JPEG_SIZES:
            return int.from_bytes(data[place + 5 : place + 7], "big"), int.from_bytes(
                data[place + 7 : place + 9], "big"
            )
        filler = data[place + 1 : place + 2] == b"\xff"
        place += 1 if filler else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0, 0


def _promised_by_others(data: bytes) -> tuple[int, int]:
    """TIFF, WebP and the like, whatever the file is called, and JPEGs with something between their segments."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return image.height, image.width
    except Image.DecompressionBombError as error:
        raise ValueError(f"unreadable picture: its header promises more than {MAX_PIXELS} pixels") from error
    except UNREADABLE:
        return 0, 0


def _is_whole_png(data: bytes) -> bool:
    """Return True if every chunk up to the last one has the checksum that it states."""
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
