"""Images, depth and masks at another size.

`resize_*` take a `Crop`, whose corners lie between pixels: the way to the network, the same in training, inference and
evaluation. `shrink_image` and `resample_*` take the whole image to another number of pixels: the way into shards.

Images of a crop: Pillow's bicubic with a real-valued box. It crops and resamples in one pass, places the centre of pixel
j at j + 0.5 like the rest of the project, and widens its kernel when it shrinks, so that nothing aliases; OpenCV's
INTER_AREA takes whole pixels only, its warps do not filter.

Depth and masks: the value of the source pixel in which the centre of the new pixel lies - no offset, and foreground is
never mixed with background. Sparse depth would lose points this way where it shrinks; there a new pixel without a value
takes the nearest of those that lie in it. Where nothing changes, everything comes back bit for bit.
"""

import cv2
import numpy as np
from PIL import Image

from zipmap_pl.images.crop import Crop

# Share of valid pixels below which a depth map may be scattered points, which shrinking must not lose. Holes in dense depth
# only cost time to look for them.
SPARSE = 0.3
# Share of the cells with a known depth that must have one at their sampled pixel; with less, depth is scattered points.
SAMPLED = 0.6


def resize_image(image: np.ndarray, crop: Crop) -> np.ndarray:
    """The crop of an image: [H, W, 3] uint8 -> [height, width, 3] uint8."""
    height, width = image.shape[:2]
    left, top, right, bottom = crop.box
    # Pillow copies the image first: only the rows that the kernel reaches.
    reach = 2 * max(1.0, 1 / crop.scale) + 1
    first, end = max(0, int(top - reach)), min(height, int(bottom + reach) + 1)
    # The box may stick out by rounding errors of the last bit, which Pillow refuses.
    box = (left, top - first, min(right, float(width)), min(bottom, float(height)) - first)
    part = Image.fromarray(image[first:end])
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
        _keep_points(values, resized, rows, columns)
    return resized


def fitting_size(height: int, width: int, side: int) -> tuple[int, int]:
    """The size with this longer side (or the size itself if that is smaller), rounded, at least 1."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image [H, W, 3] uint8 at [height, width, 3], not larger: each pixel is the mean of the area that it covers."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def resample_layer(layer: np.ndarray, height: int, width: int) -> np.ndarray:
    """A layer [H, W] at [height, width]: nearest samples at pixel centres, values are never mixed."""
    if layer.shape == (height, width):
        return layer
    rows = (2 * np.arange(height) + 1) * layer.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * layer.shape[1] // (2 * width)
    return layer.take(rows, axis=0).take(columns, axis=1)


def resample_depth(depth: np.ndarray, height: int, width: int) -> np.ndarray:
    """`resample_layer` of a depth map [H, W] that loses no point of a sparse one; what is no depth stays none."""
    if depth.shape == (height, width):
        return depth
    known = np.isfinite(depth) & (depth > 0)
    if np.count_nonzero(known) >= SPARSE * known.size:
        return resample_layer(depth, height, width)
    points = np.where(known, depth, np.float32(0))
    resized = resample_layer(points, height, width)
    rows, columns = (
        (2 * np.arange(old) + 1) * new // (2 * old) for old, new in zip(points.shape, resized.shape, strict=True)
    )
    _keep_points(points, resized, rows, columns)
    return resized


def nearest_in_cells(depth: np.ndarray, sampled: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A depth map sampled at few pixels, in which no cell around a sample is empty where depth is scattered points.

    Depth is scattered if fewer than `SAMPLED` of the cells that hold a known depth have one at the sampled pixel. Depth
    with holes is not: its samples come back as they are, bit for bit.

    Args:
        depth: [H, W] float32, 0 = unknown.
        sampled: [h, w] float32, the depth at one pixel of each cell.
        rows, columns: [H] and [W] int64, the cell in which each row and column of `depth` lies.

    Returns:
        [h, w] float32. Of scattered points, cells without a sample have the nearest depth that is known in them.
    """
    known = np.count_nonzero(sampled)
    if known >= SAMPLED * sampled.size:
        return sampled
    share = cv2.resize((depth > 0).astype(np.float32), sampled.shape[::-1], interpolation=cv2.INTER_AREA)
    if known >= SAMPLED * np.count_nonzero(share):
        return sampled
    filled = sampled.copy()
    _keep_points(depth, filled, rows, columns)
    return filled


def _keep_points(values: np.ndarray, resized: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
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
