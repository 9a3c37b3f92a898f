"""Depth in 16 bits: every value becomes the float32 nearest to the exact quotient."""

from fractions import Fraction

import numpy as np
import pytest

from zipmap_pl.preprocess.formats.pictures import in_units


@pytest.mark.parametrize("per_unit", [100.0, 1000.0, 65.535])
def test_a_stored_value_becomes_the_nearest_float(per_unit):
    """65.535 is no float32: divided by the float32 next to it, 65535 would not be 1000."""
    values = np.array([1, 3, 7, 1526, 65_534, 65_535], np.uint16)
    exact = [np.float32(float(Fraction(int(value)) / Fraction(str(per_unit)))) for value in values]
    found = in_units(values, per_unit)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, exact)
