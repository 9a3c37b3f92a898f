"""PNGs whose side data (texts, color profiles, animation) are too large for a decoder, or damaged: the pixels are read all the same."""

import struct
import zlib
from collections.abc import Iterator

from PIL import ExifTags, Image

from zipmap_pl.images.limits import PNG_CHECKSUM, PNG_CHUNK, PNG_START, UNREADABLE

PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
GREY, COLOR, PALETTE = 0, 2, 3  # kinds of image that may have one transparent color, or a transparency of each color


def only_pixels(data: bytes) -> bytes:
    """The PNG with nothing but its pixels and palette, and transparency and EXIF where these are whole; other data as they are.

    A damaged chunk of the pixels stays, for the decoder to refuse.
    """
    if not data.startswith(PNG_START):
        return data
    chunks = list(_chunks(data))
    kind = data[25] if len(data) > 25 else -1
    colors = sum(len(chunk) - 12 for name, chunk in chunks if name == b"PLTE") // 3
    lengths = {GREY: range(2, 3), COLOR: range(6, 7), PALETTE: range(1, colors + 1)}.get(kind, range(0))

    def is_kept(name: bytes, chunk: bytes) -> bool:
        whole = PNG_CHECKSUM.unpack(chunk[-4:]) == (zlib.crc32(chunk[4:-4]),)
        transparency = name == b"tRNS" and whole and len(chunk) - 12 in lengths
        return name in PIXELS or transparency or (name == b"eXIf" and whole and _is_exif(chunk[8:-4]))

    return PNG_START + b"".join(chunk for name, chunk in chunks if is_kept(name, chunk))


def still(data: bytes) -> bytes:
    """`data`, an animated PNG without its animation: of one that is incomplete, OpenCV decodes black.

    Only an animation that is announced before the pixels counts, for OpenCV too.
    """
    if data.startswith(PNG_START):
        for name, _ in _chunks(data):
            if name == b"IDAT":
                break
            if name == b"acTL":
                return only_pixels(data)
    return data


def _is_exif(data: bytes) -> bool:
    try:
        exif = Image.Exif()
        exif.load(data)
        exif.get(ExifTags.Base.Orientation)
    except UNREADABLE:
        return False
    return True


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and bytes of each chunk, up to the last one or to where the data are cut off."""
    place = len(PNG_START)
    while place + PNG_CHUNK.size + PNG_CHECKSUM.size <= len(data):
        try:
            length, name = PNG_CHUNK.unpack_from(data, place)
        except struct.error:
            return
        end = place + PNG_CHUNK.size + length + PNG_CHECKSUM.size
        if end > len(data):
            yield name, data[place:]
            return
        yield name, data[place:end]
        if name == b"IEND":
            return
        place = end
