"""Depth at places between its samples: interpolated where they are of one surface, the nearest one elsewhere.

Nearest samples alone are half a pixel off on slanted surfaces; interpolation alone makes up surfaces between foreground
and background.
"""

import numpy as np

AGREEING = 0.02  # share by which the largest of four samples of one surface may be above the smallest


def agree(lowest: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Where samples are all known and of one surface; False where one is 0, negative or not finite (NaN in both bounds)."""
    return (lowest > 0) & (highest <= (1 + AGREEING) * lowest) & (highest < np.inf)


def sampled_depth(depth: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Depth at places in a depth map.

    Args:
        depth: [h, w]; 0, negative or not finite = unknown.
        columns, rows: places in it, measured from its corner, so that sample (i, j) is at j + 0.5, i + 0.5; of shapes
            that broadcast to [H, W].

    Returns:
        [H, W] float32: bilinear where the four samples around agree to 2 % (within half a pixel of the border, the line
        through the last two goes on), else the sample of the pixel in which the place lies. 0 outside of the map.
    """
    height, width = depth.shape
    columns, rows = np.broadcast_arrays(columns, rows)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = np.where(inside, columns, 0.0), np.where(inside, rows, 0.0)
    found = depth[rows.astype(np.int64), columns.astype(np.int64)]
    if min(height, width) > 1:
        interpolated, known = _bilinear(depth, columns - 0.5, rows - 0.5)
        found = np.where(known, interpolated, found)
    return np.where(inside, found, 0).astype(np.float32)


def halved_depth(depth: np.ndarray) -> np.ndarray:
    """A depth map [2h, 2w] at [h, w] float32: the median of each four where they agree to 2 %, else the first of them."""
    first, *others = (depth[i::2, j::2] for i in (0, 1) for j in (0, 1))
    low, high = np.minimum(first, others[0]), np.maximum(first, others[0])  # of the upper two; then of the lower two
    lower, higher = np.minimum(others[1], others[2]), np.maximum(others[1], others[2])
    median = (np.maximum(low, lower) + np.minimum(high, higher)) / 2
    return np.where(agree(np.minimum(low, lower), np.maximum(high, higher)), median, first).astype(np.float32)


def _bilinear(depth: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolation between the four samples around x, y [H, W], counted from the first sample, and where they agree."""
    left = np.clip(np.floor(x), 0, depth.shape[1] - 2).astype(np.int64)
    top = np.clip(np.floor(y), 0, depth.shape[0] - 2).astype(np.int64)
    a, b = depth[top, left], depth[top, left + 1]
    c, d = depth[top + 1, left], depth[top + 1, left + 1]
    lowest = np.minimum(np.minimum(a, b), np.minimum(c, d))
    highest = np.maximum(np.maximum(a, b), np.maximum(c, d))
    x, y = x - left, y - top
    with np.errstate(invalid="ignore"):  # infinity times nothing
        mixed = ((1 - x) * a + x * b) * (1 - y) + ((1 - x) * c + x * d) * y
    return mixed, agree(lowest, highest)
