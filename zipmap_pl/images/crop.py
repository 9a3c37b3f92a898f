"""From a stored picture to the network's size: one crop and one resampling, with exact intrinsics.

The crop is centred on the principal point, because the pose encoding has no principal point; it is the largest such
crop of the wanted aspect ratio inside the picture, narrowed in training by a random zoom. Nothing is padded, and both
axes are scaled alike. Its corners lie anywhere between pixels, so that the principal point of the result is its centre
exactly.

Pictures: Pillow's bicubic with a real-valued box. It crops and resamples in one pass, places the centre of pixel j at j
+ 0.5 like the rest of the project, and widens its kernel when it shrinks, so that nothing aliases; OpenCV's INTER_AREA
takes whole pixels only, its warps do not filter. What is to shrink to a half or less may be decoded smaller before.

Depth and masks: the value of the source pixel in which the centre of the new pixel lies - no offset, and foreground is
never mixed with background. Sparse depth would lose points this way where it shrinks; there a new pixel without a value
takes the nearest of those that lie in it. Where nothing changes, everything comes back bit for bit.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from zipmap_pl.geometry.exact_cameras import crop_intrinsics, scale_intrinsics

# Share of valid pixels below which a depth map may be scattered points, which shrinking must not lose. Holes in dense depth
# only cost time to look for them.
SPARSE = 0.3


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
        ValueError: the principal point lies outside the picture.
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


def resize_picture(picture: np.ndarray, crop: Crop) -> np.ndarray:
    """[H, W, 3] uint8 -> [height, width, 3] uint8."""
    height, width = picture.shape[:2]
    left, top, right, bottom = crop.box
    # Pillow copies the picture first: only the rows that the kernel reaches.
    reach = 2 * max(1.0, 1 / crop.scale) + 1
    first, end = max(0, int(top - reach)), min(height, int(bottom + reach) + 1)
    # The box may stick out by rounding errors of the last bit, which Pillow refuses.
    box = (left, top - first, min(right, float(width)), min(bottom, float(height)) - first)
    part = Image.fromarray(picture[first:end])
    return np.asarray(part.resize((crop.width, crop.height), Image.Resampling.BICUBIC, box=box))


def resize_nearest(values: np.ndarray, crop: Crop) -> np.ndarray:
    """[H, W] depth or mask -> [height, width], each the value of the source pixel that holds the new pixel's centre."""
    return values[crop.rows(values.shape[0])].take(crop.columns(values.shape[1]), axis=1)


def resize_sparse(values: np.ndarray, crop: Crop) -> np.ndarray:
    """`resize_nearest` that keeps every point: a pixel left at 0 takes the smallest positive value that lies in it.

    Args:
        values: [H, W] depth or depth codes, 0 = no point.
        crop: the crop.

    Returns:
        [height, width]. Unless it shrinks, that of `resize_nearest`, which then skips no source pixel.
    """
    resized = resize_nearest(values, crop)
    if crop.scale < 1:
        rows = np.floor((np.arange(values.shape[0]) + 0.5 - crop.top) * crop.scale).astype(np.int64)
        columns = np.floor((np.arange(values.shape[1]) + 0.5 - crop.left) * crop.scale).astype(np.int64)
        keep_points(values, resized, rows, columns)
    return resized


def keep_points(values: np.ndarray, resized: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """Give every pixel of `resized` that is 0 the smallest positive value of those that lie in it.

    Args:
        values: [H, W] depth or depth codes, 0 = no point.
        resized: [height, width], changed.
        rows, columns: [H] and [W] int64, in which row or column of `resized` each of `values` lies; any number outside.
    """
    row, column = np.nonzero(values)
    points, row, column = values[row, column], rows[row], columns[column]
    inside = (row >= 0) & (row < resized.shape[0]) & (column >= 0) & (column < resized.shape[1])
    row, column, points = row[inside], column[inside], points[inside]
    missed = resized[row, column] == 0
    row, column, points = row[missed], column[missed], points[missed]
    order = np.argsort(points)[::-1]  # of several assignments to a pixel the last one stays
    resized[row[order], column[order]] = points[order]


def _pixels_at(start: float, scale: float, count: int, of: int) -> np.ndarray:
    return np.minimum((start + (np.arange(count) + 0.5) / scale).astype(np.int64), of - 1)
