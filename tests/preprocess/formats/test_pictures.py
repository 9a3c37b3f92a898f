"""Depth in 16 bits: every value becomes the float32 nearest to the exact quotient."""

import struct
import zlib
from fractions import Fraction

import cv2
import numpy as np
import pytest

from zipmap_pl.preprocess.formats.pictures import in_units, read_depth_png, read_picture


@pytest.mark.parametrize("per_unit", [100.0, 1000.0, 65.535])
def test_a_stored_value_becomes_the_nearest_float(per_unit):
    """65.535 is no float32: divided by the float32 next to it, 65535 would not be 1000."""
    values = np.array([1, 3, 7, 1526, 65_534, 65_535], np.uint16)
    exact = [np.float32(float(Fraction(int(value)) / Fraction(str(per_unit)))) for value in values]
    found = in_units(values, per_unit)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("count", [0, 2, 2**31])
@pytest.mark.parametrize("read", [lambda file: read_picture(file)[0], read_depth_png])
def test_a_png_whose_animation_is_cut_is_read_as_its_still_image(tmp_path, count, read):
    file = tmp_path / "x.png"
    image = np.arange(1, 65, dtype=np.uint8).reshape(8, 8)
    whole = cv2.imencode(".png", image)[1].tobytes()
    file.write_bytes(whole)
    expected = read(file)
    body = b"acTL" + struct.pack(">II", count, 0)
    file.write_bytes(whole[:33] + struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body)) + whole[33:])
    assert np.array_equal(read(file), expected) and expected.any()
