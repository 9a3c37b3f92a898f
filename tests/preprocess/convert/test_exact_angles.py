"""Angles without the C library, against the C library."""

import math

import numpy as np
import pytest

from zipmap_pl.preprocess.convert.exact_angles import angle_from_axis, cosine_and_sine


def test_cosine_and_sine_are_those_of_the_c_library():
    angles = np.random.default_rng(0).uniform(-720, 720, 5000)
    found = np.array([cosine_and_sine(angle) for angle in angles.tolist()])
    np.testing.assert_allclose(found[:, 0], np.cos(np.radians(angles)), atol=2e-15)
    np.testing.assert_allclose(found[:, 1], np.sin(np.radians(angles)), atol=2e-15)
    small = angles / 1e6
    np.testing.assert_allclose([cosine_and_sine(a)[1] for a in small.tolist()], np.sin(np.radians(small)), rtol=1e-15)


def test_multiples_of_90_degrees_are_exact():
    around = [cosine_and_sine(90.0 * k) for k in range(-4, 5)]
    assert around == [(1, 0), (0, 1), (-1, 0), (0, -1)] * 2 + [(1, 0)]


def test_an_angle_that_is_not_finite_is_nan():
    assert all(map(math.isnan, cosine_and_sine(math.inf) + cosine_and_sine(math.nan)))


def test_angles_from_the_axis_are_those_of_the_c_library():
    angles = np.concatenate((np.linspace(0, math.pi, 4000, endpoint=False), [1e-9, 1e-300, math.pi - 1e-7]))
    lengths = np.random.default_rng(0).uniform(0.01, 100, angles.size)
    radius, z = lengths * np.sin(angles), lengths * np.cos(angles)
    np.testing.assert_allclose(angle_from_axis(radius, z), np.arctan2(radius, z), rtol=1e-15, atol=0)


@pytest.mark.parametrize("ray", [(0.0, -1.0), (0.0, 0.0), (math.nan, 1.0)])
def test_rays_without_an_angle_have_none(ray):
    assert np.isnan(angle_from_axis(*np.array(ray)))
