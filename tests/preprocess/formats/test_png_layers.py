"""Alpha, floats and half floats in PNGs that Pillow writes; what holds something else is a fault."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zipmap_pl.preprocess.formats.png_layers import read_float_png, read_half_png, read_png_channels
from zipmap_pl.preprocess.raw import RawFault

COLORS = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
METERS = np.array([[1.5, 0.0, -2.25, 1e-38], [np.inf, np.nan, 10000.0, 3.4e38]], np.float32)
HALVES = np.array([[10.0, 250.0, 0.0, 2.207], [np.inf, np.nan, 65504.0, 6e-8]], np.float16)


def png(array, mode=None):
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, "PNG")
    return stream.getvalue()


def float_png(values):
    blue, green, red, alpha = np.moveaxis(values.astype("<f4").view(np.uint8).reshape(*values.shape, 4), 2, 0)
    return png(np.stack([red, green, blue, alpha], axis=2))


def read(reader, folder, data):
    (folder / "a.png").write_bytes(data)
    return reader(folder / "a.png")


def test_alpha_is_kept_and_nothing_is_blended(tmp_path):
    assert np.array_equal(read(read_png_channels, tmp_path, png(COLORS)), COLORS)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_without_alpha_all_is_opaque(tmp_path, mode):
    image = Image.fromarray(COLORS[:, :, :3]).convert(mode)
    values = read(read_png_channels, tmp_path, png(np.asarray(image)) if mode != "P" else png(COLORS[:, :, :3], "P"))
    assert np.array_equal(values[:, :, :3], np.asarray(image.convert("RGB")))
    assert (values[:, :, 3] == 255).all()


def test_grey_with_alpha_has_both(tmp_path):
    grey = np.ascontiguousarray(COLORS[:, :, :2])
    values = read(read_png_channels, tmp_path, png(grey))
    assert np.array_equal(values, grey[:, :, [0, 0, 0, 1]])


def test_the_bytes_of_colors_are_a_float(tmp_path):
    """TartanGround's: 1.5 is red 192, alpha 63, as an RGBA reader sees it."""
    known = np.array([[[192, 0, 0, 63]]], np.uint8)
    assert read(read_float_png, tmp_path, png(known)).tolist() == [[1.5]]
    values = read(read_float_png, tmp_path, float_png(METERS))
    assert values.dtype == np.float32
    assert np.array_equal(values, METERS, equal_nan=True)


def test_the_bits_of_integers_are_half_floats(tmp_path):
    known = np.array([[18688, 23504, 22649]], np.uint16)
    assert np.allclose(read(read_half_png, tmp_path, png(known)), [[10, 250, 143.1]], rtol=1e-3)
    values = read(read_half_png, tmp_path, png(HALVES.view(np.uint16)))
    assert values.dtype == np.float32
    assert np.array_equal(values, HALVES.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("reader", "data", "reason"),
    [
        (read_float_png, png(COLORS[:, :, :3]), "3 channels, expected 4"),
        (read_float_png, png(COLORS[:, :, 0]), "1 channels, expected 4"),
        (read_half_png, png(COLORS[:, :, 0]), "uint8, expected 16 bits"),
        (read_half_png, png(COLORS), "4 channels, expected 1"),
        (read_png_channels, png(HALVES.view(np.uint16)), "uint16, expected 8 bits"),
        (read_png_channels, b"\xff\xd8\xff\xe0 and so on", "expected a PNG"),
    ],
)
def test_what_holds_something_else_is_a_fault(tmp_path, reader, data, reason):
    with pytest.raises(RawFault, match=reason):
        read(reader, tmp_path, data)


CASES = [
    (read_png_channels, png(COLORS), COLORS),
    (read_float_png, float_png(METERS), METERS),
    (read_half_png, png(HALVES.view(np.uint16)), HALVES.astype(np.float32)),
]


@given(case=st.sampled_from(CASES), place=st.integers(0, 300), value=st.integers(1, 255), cut=st.booleans())
def test_a_cut_or_altered_file_is_a_fault_or_changes_nothing(tmp_path_factory, case, place, value, cut):
    reader, data, wanted = case
    place %= len(data)
    damaged = data[:place] if cut else data[:place] + bytes([data[place] ^ value]) + data[place + 1 :]
    with suppress(RawFault):
        assert np.array_equal(read(reader, tmp_path_factory.getbasetemp(), damaged), wanted, equal_nan=True)
