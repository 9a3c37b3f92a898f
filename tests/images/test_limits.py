"""A file is looked at before it is decoded."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from zipmap_pl.images.limits import MAX_PIXELS, promised_size, refuse_damage


def saved(height: int, width: int, kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM", "GIF"])
def test_the_size_is_known_before_decoding(kind: str) -> None:
    assert promised_size(saved(30, 50, kind)) == (30, 50)


def test_a_tiff_is_limited_whatever_its_file_is_called() -> None:
    """A few bytes that promise 900 million pixels: a decoder would take the memory first."""
    data = bytearray(saved(1, 1, "TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    for place in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, place)[0] in (256, 257):  # width, height
            struct.pack_into("<HII", data, place + 2, 4, 1, 30_000)
    with pytest.raises(ValueError, match=f"promises more than {MAX_PIXELS} pixels"):
        refuse_damage(bytes(data))


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff", bytes(100)])
def test_what_states_no_size_is_not_decoded(data: bytes) -> None:
    assert promised_size(data) == (0, 0)
    with pytest.raises(ValueError, match="unreadable picture"):
        refuse_damage(data)


@pytest.mark.parametrize(
    "start",
    [
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n",
        b"P7\nWIDTH 30000\nHEIGHT 30000\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
        b"PF\n30000 30000\n-1.0\n",
        b"P6\n30000 30000\n255\n",
    ],
)
def test_a_few_bytes_of_any_format_that_promise_900_million_pixels_are_refused(start: bytes) -> None:
    """OpenCV took 10.8 GB for the first three."""
    with pytest.raises(ValueError, match="unreadable picture"):
        refuse_damage(start + bytes(1000))


def test_the_size_of_a_jpeg_with_junk_between_its_segments_is_known() -> None:
    data = saved(30, 50, "JPEG")
    place = 4 + int.from_bytes(data[4:6], "big")
    assert promised_size(data[:place] + b"junk" + data[place:]) == (30, 50)


def test_every_flipped_byte_of_a_png_is_found() -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)).save(file, "PNG")
    data = file.getvalue()
    refuse_damage(data)
    for place in range(8, len(data) - 12):
        with pytest.raises(ValueError, match="unreadable picture"):
            refuse_damage(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
