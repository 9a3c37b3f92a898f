import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.datasets.depth_coding import SKY, UNKNOWN, decode_depth, encode_depth, read_png, write_png

depths = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50)


@given(depths)
def test_relative_error_is_below_a_thousandth_over_any_range(values):
    depth = np.array([values])
    codes, (near, far) = encode_depth(depth)
    assert (near, far) == (depth.min(), depth.max())
    np.testing.assert_allclose(decode_depth(codes, near, far), depth, rtol=1e-3)


def test_a_frame_from_a_millimetre_to_a_thousand_kilometres():
    depth = np.geomspace(1e-3, 1e6, 100_000).reshape(100, -1)
    codes, depth_range = encode_depth(depth)
    assert np.max(np.abs(decode_depth(codes, *depth_range) / depth - 1)) < 2e-4


def test_invalid_values_are_unknown_and_sky_is_kept_apart():
    depth = np.array([[0.0, -1.0, np.nan, np.inf, 2.0, 3.0]])
    sky = np.array([[False, False, False, True, False, True]])
    codes, depth_range = encode_depth(depth, sky)
    assert codes[0, :4].tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, SKY]
    assert codes[0, 5] == SKY
    np.testing.assert_array_equal(decode_depth(codes, *depth_range), [[0, 0, 0, 0, 2, 0]])


@pytest.mark.parametrize("value", [0.0, 1.7])
def test_frames_without_depth_or_of_one_depth(value):
    codes, depth_range = encode_depth(np.full((2, 3), value))
    assert depth_range == (value, value)
    np.testing.assert_allclose(decode_depth(codes, *depth_range), np.full((2, 3), value), rtol=1e-6)


def test_png_round_trip():
    codes, _ = encode_depth(np.geomspace(0.1, 10, 48).reshape(6, 8))
    codes[0, 0] = SKY
    np.testing.assert_array_equal(read_png(write_png(codes), np.uint16), codes)
    with pytest.raises(ValueError, match="not a one-channel PNG of uint8"):
        read_png(write_png(codes), np.uint8)


@pytest.mark.parametrize("data", [b"", b"no picture", write_png(np.ones((4, 4), np.uint16))[:40]])
def test_bytes_that_are_no_png_are_named_so(data):
    with pytest.raises(ValueError, match="not a one-channel PNG"):
        read_png(data, np.uint16)
