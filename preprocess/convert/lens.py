"""Fisheye lenses, and the pinhole camera whose image can be taken from theirs.

A lens says which pixel shows a ray; `pinhole_of` finds the pinhole camera that looks along the same axis, and where in the
raw image each of its pixels lies: what `rectify.resampled` needs. Pixels count from the image's corner.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.exact_angles import angle_from_axis

STEPS = 2000  # between the axis and 90 degrees, in which a lens is followed to where it folds back
HALVINGS = 60  # of an interval of focal lengths: to the last bits
NOWHERE = -1.0  # the place of what the raw image does not show


class Lens(Protocol):
    """A lens in front of an image. `size` is that image's height and width."""

    @property
    def size(self) -> tuple[int, int]: ...

    def pixels_of(self, rays: np.ndarray) -> np.ndarray:
        """Column and row [..., 2] that show rays [..., 3] of any length, OpenCV axes; not finite for one straight back."""

    def shows(self, rays: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Where [...] the image shows the rays [..., 3], whose pixels [..., 2] are: the formula holds there, the image has it."""


@dataclass(frozen=True)
class KB4:
    """A fisheye by Kannala and Brandt: OpenCV's `cv2.fisheye` without skew, COLMAP's OPENCV_FISHEYE.

    Attributes:
        focal: fx, fy in pixels.
        center: cx, cy in pixels from the image's corner (OpenCV's own start half a pixel later).
        coefficients: k1 to k4.
        size: height, width of the image.
    """

    focal: tuple[float, float]
    center: tuple[float, float]
    coefficients: tuple[float, ...]
    size: tuple[int, int]

    def pixels_of(self, rays: np.ndarray) -> np.ndarray:
        return _on_image(rays, self.coefficients) * np.array(self.focal) + np.array(self.center)

    def shows(self, rays: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        return _inside(pixels, self.size) & _before_it_folds(rays, self.coefficients)


@dataclass(frozen=True)
class Fisheye624:
    """Project Aria's FISHEYE624: six radial, two tangential, four thin-prism coefficients.

    Attributes:
        focal: in pixels, of both axes.
        center: cu, cv in pixels from the image's corner (Project Aria's own start half a pixel later).
        coefficients: k0 to k5.
        tangential: p0, p1.
        prism: s0 to s3.
        size: height, width of the image.
        radius: pixels around the center that the lens lights; inf = all.
    """

    focal: float
    center: tuple[float, float]
    coefficients: tuple[float, ...]
    tangential: tuple[float, float]
    prism: tuple[float, float, float, float]
    size: tuple[int, int]
    radius: float = math.inf

    def pixels_of(self, rays: np.ndarray) -> np.ndarray:
        plane = _on_image(rays, self.coefficients)
        x, y = plane[..., 0], plane[..., 1]
        (p0, p1), (s0, s1, s2, s3) = self.tangential, self.prism
        square, mixed = x * x + y * y, 2 * (x * p0 + y * p1)
        u = x + mixed * x + square * p0 + (s0 + s1 * square) * square
        v = y + mixed * y + square * p1 + (s2 + s3 * square) * square
        return self.focal * np.stack((u, v), axis=-1) + np.array(self.center)

    def shows(self, rays: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        off = pixels - np.array(self.center)
        lit = off[..., 0] * off[..., 0] + off[..., 1] * off[..., 1] <= self.radius * self.radius
        return lit & _inside(pixels, self.size) & _before_it_folds(rays, self.coefficients)


def pinhole_of(lens: Lens, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The widest pinhole camera of a size whose whole image the lens shows, along the lens's own axis.

    Args:
        lens: the raw camera.
        size: height, width of the pinhole's image.

    Returns:
        intrinsics [3, 3], one focal length, the principal point in the middle; columns and rows [H, W] in the raw image,
        as `rectify.resampled` takes them.

    Raises:
        ValueError: the lens does not show its own axis.
    """
    border = _border(*size)
    narrow = float(max(size))
    while not _shows_all(lens, border, narrow):
        narrow *= 2
        if narrow > max(size) * 2.0**HALVINGS:
            raise ValueError(f"the lens does not show what lies straight ahead: {lens}")
    wide = 0.0
    for _ in range(HALVINGS):
        middle = (wide + narrow) / 2
        wide, narrow = (wide, middle) if _shows_all(lens, border, middle) else (middle, narrow)
    intrinsics = cameras.intrinsics_matrix(np.array((narrow, narrow, size[1] / 2, size[0] / 2)))
    return intrinsics, *places_in(lens, intrinsics, size)


def places_in(lens: Lens, intrinsics: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows [H, W] in the lens's image of the pixels of a pinhole camera [3, 3]; outside where it shows none."""
    rays = cameras.pixel_points(np.ones(size), intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)])
    pixels = lens.pixels_of(rays)
    shown = lens.shows(rays, pixels)
    return np.where(shown, pixels[..., 0], NOWHERE), np.where(shown, pixels[..., 1], NOWHERE)


def _shows_all(lens: Lens, border: np.ndarray, focal: float) -> bool:
    rays = np.concatenate((border / focal, np.ones((len(border), 1))), axis=1)
    return bool(lens.shows(rays, lens.pixels_of(rays)).all())


def _border(height: int, width: int) -> np.ndarray:
    """Points [n, 2] around an image, x and y from its middle, at every corner of a pixel."""
    x, y = np.arange(width + 1) - width / 2, np.arange(height + 1) - height / 2
    sides = [(x, np.full_like(x, edge)) for edge in (y[0], y[-1])] + [
        (np.full_like(y, edge), y) for edge in (x[0], x[-1])
    ]
    return np.concatenate([np.stack(side, axis=-1) for side in sides])


def _on_image(rays: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Where [..., 2] rays meet the image of focal length 1: at the bent angle from the axis, in the ray's direction."""
    x, y, z = np.moveaxis(np.asarray(rays, np.float64), -1, 0)
    radius = np.sqrt(x * x + y * y)
    angle = angle_from_axis(radius, z)
    bent, off_axis = angle * _polynomial(angle * angle, coefficients), radius > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(off_axis, bent / np.where(off_axis, radius, 1.0), 1 / z)
    return np.stack((scale * x, scale * y), axis=-1)


def _polynomial(square: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """1 + c0 s + c1 s^2 + ..."""
    total = np.zeros_like(square)
    for coefficient in reversed(coefficients):
        total = (total + coefficient) * square
    return 1 + total


def _inside(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    column, row = pixels[..., 0], pixels[..., 1]
    return (column >= 0) & (column <= size[1]) & (row >= 0) & (row <= size[0])


def _before_it_folds(rays: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Where rays ahead of the camera have an angle up to which a wider one lies farther out."""
    angles = np.arange(STEPS) * (math.pi / 2 / STEPS)
    slopes = _polynomial(angles * angles, tuple((2 * k + 3) * value for k, value in enumerate(coefficients)))
    widest = angles[int(np.argmin(slopes > 0))] if not (slopes > 0).all() else math.pi / 2
    x, y, z = np.moveaxis(np.asarray(rays, np.float64), -1, 0)
    return (z > 0) & (angle_from_axis(np.sqrt(x * x + y * y), z) < widest)
