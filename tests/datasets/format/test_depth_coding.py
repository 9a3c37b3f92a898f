import io
import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.datasets.format.depth_coding import (
    SKY,
    UNKNOWN,
    decode_depth,
    depth_table,
    encode_depth,
    read_codes,
    read_png,
    write_codes,
    write_png,
)

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


@given(depths, st.floats(0, 1e6, width=32), st.floats(0, 1e6, width=32))
def test_a_table_with_limits_drops_what_lies_outside(values, low, high):
    codes, depth_range = encode_depth(np.array([values]))
    depth = decode_depth(codes, *depth_range)
    limited = np.take(depth_table(*depth_range, (low, high)), codes)
    np.testing.assert_array_equal(limited, np.where((depth >= low) & (depth <= high), depth, 0))


def codes_of(height=6, width=8):
    codes, _ = encode_depth(np.geomspace(0.1, 10, height * width).reshape(height, width))
    codes[0, 0] = SKY
    return codes


@given(st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_codes_come_back_from_their_bytes(height, width, in_columns):
    codes = np.asarray(codes_of(height, width), order="F" if in_columns else "C")
    np.testing.assert_array_equal(read_codes(write_codes(codes), (height, width)), codes)


def test_the_bytes_are_a_numpy_file_that_anyone_can_read():
    np.testing.assert_array_equal(np.load(io.BytesIO(zstandard.decompress(write_codes(codes_of())))), codes_of())


def in_a_frame(values):
    file = io.BytesIO()
    np.save(file, values)
    return zstandard.compress(file.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no codes",
        write_codes(codes_of())[:40],
        write_codes(codes_of()) + b"more",
        write_codes(codes_of(8, 6)),
        in_a_frame(codes_of().astype(np.int16)),
        zstandard.compress(bytes(2 * 6 * 8 + 128)),
        zstandard.compress(bytes(100_000_000)),  # 9 kB
    ],
    ids=["empty", "noise", "cut", "longer", "turned", "signed", "no header", "bomb"],
)
def test_bytes_that_are_no_codes_are_named_so(data):
    with pytest.raises(ValueError, match="not depth codes"):
        read_codes(data, (6, 8))


def test_what_claims_to_be_huge_takes_no_memory():
    bomb = zstandard.compress(bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(ValueError, match="not depth codes"):
        read_codes(bomb, (6, 8))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_masks_come_back_from_png():
    mask = np.random.default_rng(0).integers(0, 2, (6, 8), np.uint8) * 255
    np.testing.assert_array_equal(read_png(write_png(mask)), mask)


@pytest.mark.parametrize("data", [b"", b"no picture", write_png(np.ones((4, 4), np.uint8))[:40]])
def test_bytes_that_are_no_mask_are_named_so(data):
    with pytest.raises(ValueError, match="not a one-channel PNG"):
        read_png(data)
