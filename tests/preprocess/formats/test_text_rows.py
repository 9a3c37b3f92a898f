"""Rows of numbers in text files, one per frame."""

import numpy as np
import pytest

from zipmap_pl.preprocess.formats.text_rows import numbers_of_row, text_rows
from zipmap_pl.preprocess.raw import RawFault


def test_a_row_is_read_by_its_number(tmp_path):
    file = tmp_path / "poses.txt"
    file.write_text("1 2 3\r\n\n 4 nan 6e2 \n\n\n")
    assert len(text_rows(file)) == 3  # blank lines at the end are none; others keep the place of those that follow
    np.testing.assert_array_equal(numbers_of_row(file, 2, 3, "x y z"), (4, np.nan, 600))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (0, "line 1: 2 numbers, expected x y z"),
        (1, "line 2: could not convert string to float: 'a'"),
        (2, "2 lines, fewer than frames"),
    ],
)
def test_other_rows_are_faults(tmp_path, row, reason):
    file = tmp_path / "poses.txt"
    file.write_text("1 2\na b c\n")
    with pytest.raises(RawFault, match=reason):
        numbers_of_row(file, row, 3, "x y z")
