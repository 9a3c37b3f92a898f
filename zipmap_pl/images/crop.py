"""Which part of an image the network sees: one crop and one scale, with exact intrinsics.

The crop is centred on the principal point, because the pose encoding has no principal point; it is the largest such
crop of the wanted aspect ratio inside the image, narrowed in training by a random zoom. Nothing is padded, and both
axes are scaled alike. Its corners lie anywhere between pixels, so that the principal point of the result is its centre
exactly. What is to shrink to a half or less may be decoded smaller before.
"""

from dataclasses import dataclass, replace

import numpy as np

from zipmap_pl.geometry.exact_cameras import crop_intrinsics, scale_intrinsics


@dataclass(frozen=True)
class Crop:
    """A crop and resize.

    Attributes:
        left, top: corner of the crop in pixels of the source, real numbers.
        scale: pixels of the result per pixel of the source, the same along both axes.
        height, width: of the result.
    """

    left: float
    top: float
    scale: float
    height: int
    width: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom in pixels of the source."""
        return (self.left, self.top, self.left + self.width / self.scale, self.top + self.height / self.scale)

    def intrinsics(self, source: np.ndarray) -> np.ndarray:
        """[4] float64 fx, fy, cx, cy of the result from those of the source; exact."""
        return scale_intrinsics(crop_intrinsics(source, self.left, self.top), self.scale, self.scale)

    @property
    def reduction(self) -> int:
        """How many times smaller the source may be decoded without anything being enlarged afterwards: 1, 2, 4 or 8."""
        return next(times for times in (8, 4, 2, 1) if times == 1 or self.scale * times <= 1)

    def of_reduced(self, reduction: int) -> "Crop":
        """The same crop of a source that was decoded so many times smaller."""
        return replace(self, left=self.left / reduction, top=self.top / reduction, scale=self.scale * reduction)

    def rows(self, of: int) -> np.ndarray:
        """[height] int64, the rows of a source of `of` rows in which the centres of the result's rows lie."""
        return _pixels_at(self.top, self.scale, self.height, of)

    def columns(self, of: int) -> np.ndarray:
        """[width] int64, likewise."""
        return _pixels_at(self.left, self.scale, self.width, of)


def plan_crop(size: tuple[int, int], intrinsics: np.ndarray, target: tuple[int, int], zoom: float = 1.0) -> Crop:
    """The largest crop of the target's aspect ratio around the principal point, made `zoom` times smaller.

    Args:
        size: height, width of the source.
        intrinsics: fx, fy, cx, cy in pixels of the source, corner origin.
        target: height, width of the result.
        zoom: 1 = the largest crop; 1.25 = 0.8 of its height and width.

    Raises:
        ValueError: the principal point lies outside the image.
    """
    centre_x, centre_y = float(intrinsics[2]), float(intrinsics[3])
    half_width = min(centre_x, size[1] - centre_x)
    half_height = min(centre_y, size[0] - centre_y)
    if half_width <= 0 or half_height <= 0:
        raise ValueError(
            f"principal point ({centre_x:g}, {centre_y:g}) outside the picture of {size[1]} x {size[0]} pixels"
        )
    scale = max(target[1] / (2 * half_width), target[0] / (2 * half_height)) * zoom
    left, top = centre_x - target[1] / (2 * scale), centre_y - target[0] / (2 * scale)
    return Crop(max(left, 0.0), max(top, 0.0), scale, *target)


def center_crop(size: tuple[int, int], target: tuple[int, int]) -> Crop:
    """The crop of an image of `size` (height, width) whose principal point is not known: its centre is taken for it."""
    return plan_crop(size, np.array([1.0, 1.0, size[1] / 2, size[0] / 2]), target)


def kept_share(size: tuple[int, int], target: tuple[int, int]) -> float:
    """The share of an image's area that its `center_crop` keeps. size, target: height, width; only their ratios count."""
    source, result = size[0] * target[1], target[0] * size[1]
    return min(source, result) / max(source, result)


def _pixels_at(start: float, scale: float, count: int, of: int) -> np.ndarray:
    return np.minimum((start + (np.arange(count) + 0.5) / scale).astype(np.int64), of - 1)
