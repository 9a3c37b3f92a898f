"""Photos whose side data are too large or damaged: the pixels count."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zipmap_pl.images.photo import open_photo, photo_size
from zipmap_pl.images.png_side_data import only_pixels

IMAGE = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)


def chunk(name, data=b"", flipped=0):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ flipped)


def png(mode, side_data, place=b"IDAT", exif=None):
    """A PNG with further chunks before its pixels or behind them."""
    file = io.BytesIO()
    Image.fromarray(IMAGE).convert(mode).save(file, "png", **({} if exif is None else {"exif": exif}))
    data = file.getvalue()
    at = data.index(place) - 4
    return data[:at] + side_data + data[at:]


def pixels(data):
    return open_photo(data).resized((20, 30))


LARGE = zlib.compress(bytes(3 << 20))
SIDE_DATA = {
    "a large compressed text": chunk(b"zTXt", b"key\0\0" + LARGE),
    "a large international text": chunk(b"iTXt", b"key\0\1\0\0\0" + LARGE),
    "a large color profile": chunk(b"iCCP", b"name\0\0" + LARGE),
    "many texts": b"".join(chunk(b"tEXt", b"key\0" + b"x" * (1 << 20)) for _ in range(66)),
    "an unknown compression": chunk(b"zTXt", b"key\0\7" + LARGE),
    "a cut profile": chunk(b"iCCP", b"k"),
    "a cut gamma": chunk(b"gAMA", b"x"),
    "a cut resolution": chunk(b"pHYs", b"x"),
    "cut primaries": chunk(b"cHRM", b"x"),
    "an empty intent": chunk(b"sRGB"),
    "EXIF that is none": chunk(b"eXIf", b"garbage"),
    "EXIF without its tables": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "a cut animation": chunk(b"acTL", b"x"),
    "a cut frame of an animation": chunk(b"fcTL", b"x"),
    "a wrong checksum": chunk(b"tEXt", b"key\0x", flipped=1),
    "two at once": chunk(b"gAMA", b"x") + chunk(b"zTXt", b"key\0\0" + LARGE),
}


@pytest.mark.parametrize("what", SIDE_DATA)
@pytest.mark.parametrize("mode", ["RGB", "P"])
@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
def test_pixels_are_read_next_to_damaged_or_large_side_data(what, mode, place):
    data = png(mode, SIDE_DATA[what], place)
    assert np.array_equal(pixels(data), pixels(png(mode, b""))) and photo_size(data) == (20, 30)


@pytest.mark.parametrize(("mode", "data"), [("RGB", b""), ("RGB", b"x"), ("L", b"x"), ("P", b""), ("P", bytes(300))])
def test_transparency_of_a_wrong_length_counts_for_none(mode, data):
    assert np.array_equal(pixels(png(mode, chunk(b"tRNS", data))), pixels(png(mode, b"")))


def test_whole_transparency_and_whole_exif_count_next_to_damage():
    one_color = chunk(b"tRNS", struct.pack(">3H", *IMAGE[3, 4].tolist()))
    assert pixels(png("RGB", one_color + SIDE_DATA["a large color profile"]))[3, 4].tolist() == [255, 255, 255]
    turned = Image.Exif()
    turned[0x0112] = 6
    data = png("RGB", SIDE_DATA["a large color profile"], exif=turned)
    assert open_photo(data).size == photo_size(data) == (30, 20)


def test_damaged_exif_of_a_jpeg_leaves_the_image_as_it_is():
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "jpeg", exif=b"Exif\0\0garbage!")
    assert open_photo(file.getvalue()).size == (20, 30)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_pixels_that_are_cut_off_are_still_refused(share):
    data = png("RGB", SIDE_DATA["a large color profile"])
    with pytest.raises(ValueError):
        open_photo(data[: int(share * len(data))]).resized((20, 30))


def test_other_formats_stay_as_they_are():
    assert only_pixels(b"GIF89a") == b"GIF89a"


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"acTL"])
def test_pixels_are_read_next_to_empty_side_data(name):
    for place in (b"IDAT", b"IEND"):
        data = png("RGB", chunk(name), place)
        assert np.array_equal(pixels(data), IMAGE) and photo_size(data) == (20, 30)
