"""Depth in colour: comparable between pictures, honest about what is invalid, never an exception."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zipmap_pl.drawing.depth_colours import (
    INVALID_COLOUR,
    colour_depth,
    colour_values,
    depth_key,
    depth_limits,
    depth_scale,
    values_key,
)
from zipmap_pl.drawing.text import BACKGROUND, text_width


def test_near_is_warm_and_far_is_cold():
    colours = colour_depth(np.linspace(1, 10, 64, dtype=np.float32)[None], near=1, far=10)[0].astype(int)
    assert colours[0, 0] > colours[0, 2] and colours[-1, 2] > colours[-1, 0]
    assert len(np.unique(colours, axis=0)) > 30


def test_invalid_pixels_are_dark_grey_and_no_others():
    depth = np.full((4, 5), 2.0, np.float32)
    depth[0] = [0, -1, np.nan, np.inf, 3]
    mask = np.ones((4, 5), bool)
    mask[3] = False
    dark = (colour_depth(depth, mask) == INVALID_COLOUR).all(-1)
    expected = ~mask
    expected[0, :4] = True
    assert np.array_equal(dark, expected)


def test_one_pair_of_limits_gives_equal_depths_equal_colours():
    truth, prediction = np.array([[1.0, 2.0, 4.0]]), np.array([[2.0, 2.0, 8.0]])
    near, far = depth_limits([truth, prediction])
    first, second = colour_depth(truth, None, near, far), colour_depth(prediction, None, near, far)
    assert np.array_equal(first[0, 1], second[0, 0])
    assert not np.array_equal(first[0, 2], second[0, 2])


def test_limits_ignore_invalid_and_masked_depths():
    depth = np.array([[0, np.nan, np.inf, -3, 2, 4, 1000]], np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1, 0]], bool)
    near, far = depth_limits([depth], [mask])
    assert 2 <= near < far <= 4
    assert depth_limits([np.zeros((3, 3))]) == (1.0, 2.0) == depth_limits([])


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(width=32)))
def test_any_depth_gives_a_picture(depth):
    picture = colour_depth(depth)
    assert picture.shape == (*depth.shape, 3) and picture.dtype == np.uint8


def test_constant_depth_gives_one_colour():
    picture = colour_depth(np.full((3, 3), 2.5, np.float32))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1
    assert not (picture == INVALID_COLOUR).all()


@pytest.mark.parametrize("width", [120, 300])
def test_scale_shows_the_colours_of_its_limits(width):
    scale = depth_scale(0.5, 5, "m", width)
    assert scale.shape == (32, width, 3) and scale.dtype == np.uint8
    ends = colour_depth(np.array([[0.5, 5.0]]), None, 0.5, 5)[0]
    assert np.array_equal(scale[0, [0, -1]], ends)


def test_values_outside_the_limits_look_like_the_limits_and_unknown_ones_are_grey():
    values = np.array([[-1.0, 0, 0.5, 1, 9, np.nan, np.inf, 0.5]])
    mask = np.array([[True] * 7 + [False]])
    colours = colour_values(values, mask, 0, 1)[0]
    assert (colours[0] == colours[1]).all()
    assert (colours[3] == colours[4]).all()
    assert colours[1].sum() < colours[2].sum() < colours[3].sum()
    assert (colours[5:] == INVALID_COLOUR).all()
    assert (colour_values(np.ones((2, 3)), None, 1, 1) == colour_values(np.zeros((2, 3)), None, 0, 1)).all()


@pytest.mark.parametrize("height", [10, 20])
def test_keys_show_the_colours_of_their_limits_between_two_numbers(height):
    ends = {
        "depth": (depth_key(0.5, 5, height), "0.5", "5", colour_depth(np.array([[0.5, 5.0]]), None, 0.5, 5)[0]),
        "values": (values_key("0", "30%", height), "0", "30%", colour_values(np.array([[0.0, 1.0]]), None, 0, 1)[0]),
    }
    for key, low, high, colours in ends.values():
        line = key[key.shape[0] // 2]
        first, last = (np.flatnonzero((line == colour).all(-1)) for colour in colours)
        assert first[0] >= text_width(low, height)
        assert last[-1] < key.shape[1] - text_width(high, height)
        assert (key[:, : first[0] - 2] != BACKGROUND).any()
        assert (key[:, last[-1] + 3 :] != BACKGROUND).any()
