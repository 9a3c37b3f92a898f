"""From a stored picture to the network's size: one crop and one resampling, with exact intrinsics.

The crop is centred on the principal point, because the pose encoding has no principal point; it is the largest such
crop of the wanted aspect ratio inside the picture, narrowed in training by a random zoom. Nothing is padded, and both
axes are scaled alike. Its corners lie anywhere between pixels, so that the principal point of the result is its centre
exactly.

Pictures: Pillow's bicubic with a real-valued box. It crops and resamples in one pass, places the centre of pixel j at j
+ 0.5 like the rest of the project, and widens its kernel when it shrinks, so that nothing aliases; OpenCV's INTER_AREA
takes whole pixels only, its warps do not filter. Depth and masks: the value of the source pixel in which the centre of
the new pixel lies - no offset, and foreground is never mixed with background. Where nothing changes, pictures come back
bit for bit.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from zipmap_pl.datasets.cameras import crop_intrinsics, scale_intrinsics


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
    # The box may stick out by rounding errors of the last bit, which Pillow refuses.
    box = (left, top, min(right, float(width)), min(bottom, float(height)))
    resized = Image.fromarray(picture).resize((crop.width, crop.height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


def resize_nearest(values: np.ndarray, crop: Crop) -> np.ndarray:
    """[H, W] depth or mask -> [height, width], each the value of the source pixel that holds the new pixel's centre."""
    rows = (crop.top + (np.arange(crop.height) + 0.5) / crop.scale).astype(np.int64)
    columns = (crop.left + (np.arange(crop.width) + 0.5) / crop.scale).astype(np.int64)
    return values[np.minimum(rows, values.shape[0] - 1)][:, np.minimum(columns, values.shape[1] - 1)]
