"""What users bring: upright, over white, in 8 bits, and small enough, whatever the file holds."""

import contextlib
import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from zipmap_pl.images.crop import center_crop
from zipmap_pl.images.decode import read_image
from zipmap_pl.images.photo import DecodedPhoto, open_photo, photo_size, upright
from zipmap_pl.images.resample import resize_image

RAMP = np.arange(0, 256, 8, np.uint8).reshape(4, 8)
GREY = np.dstack([RAMP] * 3)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 200], -1).astype(np.uint8)


def saved(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def whole(data: bytes) -> np.ndarray:
    photo = open_photo(data)
    return photo.resized(photo.size)


def test_transparency_is_laid_over_white() -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:, 2:, 3] = 255
    image = whole(saved(clear, "PNG"))
    assert (image[:, :2] == 255).all()
    assert (image[:, 2:] == 0).all()


@pytest.mark.parametrize(
    "data",
    [
        cv2.imencode(".png", RAMP.astype(np.uint16) * 257)[1].tobytes(),
        cv2.imencode(".png", GREY.astype(np.uint16) * 257)[1].tobytes(),
        saved(RAMP, "PNG"),
        saved(Image.fromarray(GREY).convert("CMYK"), "TIFF"),
        saved(RAMP.astype(np.int32) * 257, "TIFF"),
        saved((RAMP / 255).astype(np.float32), "TIFF"),
    ],
    ids=["grey 16", "color 16", "grey", "CMYK", "integers of 32 bits", "floating point"],
)
def test_other_bits_and_colors_keep_their_brightness(data: bytes) -> None:
    assert np.array_equal(whole(data), GREY)


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_floating_point_values_that_have_no_brightness_are_refused(value: float) -> None:
    values = (RAMP / 255).astype(np.float32)
    values[0, 0] = value
    with pytest.raises(ValueError, match="expected 0 to 1"):
        open_photo(saved(values, "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_photo_is_turned_upright(kind: str, orientation: int) -> None:
    data = saved(smooth(40, 60), kind, exif=turned(orientation))
    with Image.open(io.BytesIO(data)) as file:
        wanted = np.asarray(ImageOps.exif_transpose(file))
    photo = open_photo(data)
    assert photo.size == wanted.shape[:2]
    assert np.array_equal(photo.resized(photo.size), wanted)


@pytest.mark.parametrize("orientation", range(2, 9))
@given(height=st.integers(100, 300), width=st.integers(100, 300))
def test_a_turned_jpeg_is_cropped_where_the_upright_one_is(orientation: int, height: int, width: int) -> None:
    """Decoded smaller, its last row and column stand for parts of a pixel, which a turn would bring to the front."""
    stored = smooth(height, width)
    photo = open_photo(saved(stored, "JPEG", quality=98, exif=turned(orientation)))
    plain = DecodedPhoto(upright(stored, orientation)).resized((28, 42))
    assert np.abs(photo.resized((28, 42)).astype(int) - plain)[2:-2, 2:-2, :2].max() <= 6


def test_a_jpeg_is_decoded_as_in_training() -> None:
    data = saved(np.random.default_rng(0).integers(0, 256, (300, 403, 3), np.uint8), "JPEG")
    crop = center_crop((300, 403), (70, 98))
    assert crop.reduction == 4
    wanted = resize_image(read_image(data, 4), crop.of_reduced(4))
    assert np.array_equal(open_photo(data).resized((70, 98)), wanted)


NOISE = np.random.default_rng(0).integers(0, 65536, (40, 60, 3), np.uint16)


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (saved((NOISE >> 8).astype(np.uint8), "PNG"), 0),
        (saved((NOISE >> 8).astype(np.uint8), "TIFF"), 0),
        (saved((NOISE >> 8).astype(np.uint8), "BMP"), 0),
        (saved((NOISE >> 8).astype(np.uint8), "WEBP", quality=80), 0),
        (saved(Image.fromarray((NOISE >> 8).astype(np.uint8)).convert("P"), "PNG"), 0),
        (saved(NOISE[..., 0], "PNG"), 0),
        (cv2.imencode(".png", NOISE)[1].tobytes(), 0),
        (cv2.imencode(".tif", NOISE)[1].tobytes(), 1),  # OpenCV rounds
    ],
    ids=["PNG", "TIFF", "BMP", "WebP", "palette", "grey 16", "color 16", "color 16 TIFF"],
)
def test_a_photo_has_the_values_that_preprocessing_reads(data: bytes, tolerance: int) -> None:
    assert np.abs(whole(data).astype(int) - read_image(data)).max() <= tolerance


@pytest.mark.filterwarnings("error")
def test_a_jpeg_of_200_megapixels_is_decoded_smaller() -> None:
    """The header of one, before the data of a small one: libjpeg leaves the rest grey."""
    small = saved(smooth(64, 64), "JPEG")
    place = small.index(b"\xff\xc0") + 5
    photo = open_photo(small[:place] + struct.pack(">HH", 12240, 16320) + small[place + 4 :])
    assert photo.size == (12240, 16320)
    assert photo.resized((392, 518)).shape == (392, 518, 3)
    with pytest.raises(ValueError, match="promises 16320x12240 pixels"):
        photo.resized((12240, 16320))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8])
def test_a_file_cut_off_is_a_value_error(kind: str, share: float) -> None:
    data = saved(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), kind)
    with pytest.raises(ValueError):
        whole(data[: int(share * len(data))])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_photo_is_known_without_decoding_it(kind: str, orientation: int) -> None:
    data = saved(smooth(40, 60), kind, exif=turned(orientation))
    assert photo_size(data) == open_photo(data).size
    if kind != "JPEG":
        with pytest.raises(ValueError, match="."):
            photo_size(data[:10])


def tiff(values: np.ndarray, photometric: int) -> bytes:
    """A TIFF of one strip, [H, W], that says what its zeros are: 0 white, 1 black."""
    data, (height, width) = values.tobytes(), values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: width, 257: height, 258: 8 * values.dtype.itemsize, 259: 1, 262: photometric, 273: 8, 277: 1}
    tags |= {278: height, 279: len(data), 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_zeros_of_a_tiff_that_stand_for_white_are_white(kind: str) -> None:
    ramp = np.linspace(0, 1, 256).reshape(16, 16)
    values = (ramp * {"u1": 255, "u2": 65535, "f4": 1}[kind]).astype(kind)
    black, white = (open_photo(tiff(values, what)).resized((16, 16)).astype(int) for what in (1, 0))
    assert np.array_equal(white, 255 - black) and black[0, 0, 0] == 0


def test_values_of_8_bits_in_integers_of_32_keep_their_brightness() -> None:
    file = io.BytesIO()
    Image.fromarray(np.arange(256, dtype="i4").reshape(16, 16)).save(file, "tiff")
    assert open_photo(file.getvalue()).resized((16, 16))[..., 0].ravel().tolist() == list(range(256))


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4 ...", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused_without_an_address_in_memory(data: bytes) -> None:
    for read in (open_photo, photo_size):
        with pytest.raises(ValueError, match="begins like no image"):
            read(data)


def test_no_changed_byte_of_an_avif_ends_in_another_error() -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(256, size=(8, 8, 3), dtype=np.uint8)).save(file, "avif")
    whole = file.getvalue()
    for place in range(0, len(whole), 3):
        damaged = whole[:place] + b"\xff\0" + whole[place + 2 :]
        for read in (open_photo, photo_size):
            with contextlib.suppress(ValueError):
                read(damaged)
