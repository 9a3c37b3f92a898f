"""Sines, cosines and arc tangents from sums, products and square roots alone: the same bits on every processor.

The functions of numpy and of the C library choose code by the processor, and differ in the last bit. These are as exact
as they are, to some 3 units in the last place.
"""

import math

import numpy as np

SINE_TERMS = 9  # for angles up to 45 degrees: the first that is left out is below 1e-19 of the result
# A sixteenth of an angle below 180 degrees has a tangent below 0.2, whose 26th power is below 1e-18.
HALVINGS = 4
ARC_TERMS = 13


def cosine_and_sine(degrees: float) -> tuple[float, float]:
    """Cosine and sine of an angle in degrees, exact at multiples of 90; NaN of what is not finite."""
    if not math.isfinite(degrees):
        return math.nan, math.nan
    rest = math.remainder(degrees, 90.0)
    angle = rest * (math.pi / 180)
    square, cosine, sine = angle * angle, 1.0, 1.0
    for k in range(SINE_TERMS, 0, -1):
        cosine = 1 - square / ((2 * k - 1) * 2 * k) * cosine
        sine = 1 - square / (2 * k * (2 * k + 1)) * sine
    sine *= angle
    quarters = round((degrees - rest) / 90) % 4
    return ((cosine, sine), (-sine, cosine), (-cosine, -sine), (sine, -cosine))[quarters]


def angle_from_axis(radius: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Angles in radians, from 0 to pi, between the z axis and rays at the distance `radius` >= 0 from it, of one shape.

    NaN for the ray straight back and for a ray of no length.
    """
    radius, z = np.asarray(radius, np.float64), np.asarray(z, np.float64)
    length = np.sqrt(radius * radius + z * z)
    with np.errstate(invalid="ignore", divide="ignore"):
        tangent = np.where(z >= 0, radius / (z + length), (length - z) / radius)
        for _ in range(HALVINGS - 1):
            tangent = tangent / (1 + np.sqrt(1 + tangent * tangent))
    square, series = tangent * tangent, np.zeros_like(tangent)
    for k in range(2 * ARC_TERMS - 1, 0, -2):
        series = 1 / k - square * series
    return 2**HALVINGS * tangent * series
