"""PFM files that other libraries write are read the right way up; what is cut or altered is a fault."""

import re
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zipmap_pl.preprocess.formats.pfm import read_pfm
from zipmap_pl.preprocess.raw import RawFault

DEPTH = np.random.default_rng(0).uniform(-3, 300, (6, 5)).astype(np.float32)
WHOLE = b"Pf\n5 6\n-1\n" + DEPTH[::-1].tobytes()


def read(folder, data):
    (folder / "a.pfm").write_bytes(data)
    return read_pfm(folder / "a.pfm")


def test_what_pillow_and_opencv_write_is_read(tmp_path):
    Image.fromarray(DEPTH).save(tmp_path / "pillow.pfm")
    assert cv2.imwrite(str(tmp_path / "opencv.pfm"), DEPTH)
    for name in ("pillow.pfm", "opencv.pfm"):
        values = read_pfm(tmp_path / name)
        assert values.dtype == np.float32
        assert np.array_equal(values, DEPTH)


def test_the_sign_of_the_scale_says_the_order_of_bytes(tmp_path):
    big = DEPTH[::-1].astype(">f4").tobytes()
    assert np.array_equal(read(tmp_path, b"Pf\n5 6\n1.0\n" + big), DEPTH)
    assert np.array_equal(read(tmp_path, b"Pf\n5 6\n-1.000000\n" + DEPTH[::-1].tobytes()), DEPTH)


def test_a_space_before_the_end_of_a_line_is_allowed_and_values_may_look_like_space(tmp_path):
    spaces = np.frombuffer(b"\n \n " * 30, "<f4").reshape(6, 5)
    assert np.array_equal(read(tmp_path, b"Pf\n5 6 \n-1\n" + spaces.tobytes()), spaces)
    assert np.array_equal(read(tmp_path, b"Pf\r\n5 6\r\n-1\r\n" + spaces.tobytes()), spaces)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"PF\n5 6\n-1\n" + bytes(360), "expected Pf, width and height, scale"),
        (b"Pf\n5 6\n0\n" + bytes(120), "5x6, scale 0, expected none of them 0"),
        (b"Pf\n0 6\n-1\n", "0x6"),
        (b"Pf\n5 6\n-1..1\n" + bytes(120), "scale -1..1"),
        (b"Pf\n999999 999999\n-1\n" + bytes(120), "promises 999999x999999, 3999992000004 bytes, but 120 follow"),
        (WHOLE + b"\0", "120 bytes, but 121 follow"),
    ],
)
def test_other_files_are_faults(tmp_path, data, reason):
    with pytest.raises(RawFault, match=re.escape(reason)):
        read(tmp_path, data)


@given(end=st.integers(0, len(WHOLE) - 1))
def test_a_cut_file_is_a_fault(tmp_path_factory, end):
    with pytest.raises(RawFault):
        read(tmp_path_factory.getbasetemp(), WHOLE[:end])


@given(place=st.integers(0, 9), value=st.integers(0, 255))
def test_an_altered_header_is_a_fault_or_gives_as_many_values(tmp_path_factory, place, value):
    with suppress(RawFault):
        values = read(tmp_path_factory.getbasetemp(), WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :])
        assert values.size == DEPTH.size
