"""Depth and confidence at the size of the user's own photo."""

import numpy as np

from zipmap_pl.contracts.scene import Scene

AGREEMENT = 0.05  # depths of neighbors are of one surface if they differ by less than that share
ROWS = 256  # enlarged at once: a photo may have 200 megapixels


def photo_maps(scene: Scene, view: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth and confidence [H, W] float32 of a view's own photo; 0 outside the crop and where the depth is not finite.

    Depth is interpolated between neighbors that agree, linearly in its inverse, which is exact on planes; else the
    nearest pixel counts, so that foreground and background never mix. Confidence is the nearest pixel's.
    """
    height, width = scene.source_sizes[view].tolist()
    sx, sy, x0, y0 = scene.source_from_model[view].tolist()
    columns = (np.arange(width) + 0.5 - x0) / sx
    rows = (np.arange(height) + 0.5 - y0) / sy
    depth, confidence = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    inside_x = np.flatnonzero((columns >= 0) & (columns < scene.depth.shape[2]))
    inside_y = np.flatnonzero((rows >= 0) & (rows < scene.depth.shape[1]))
    sound = np.where(np.isfinite(scene.depth[view]) & (scene.depth[view] > 0), scene.depth[view], np.nan)
    nearest_x = columns[inside_x].astype(np.int64)
    for start in range(0, len(inside_y), ROWS):
        band = inside_y[start : start + ROWS]
        nearest_y = rows[band].astype(np.int64)
        nearest = sound[np.ix_(nearest_y, nearest_x)]
        smooth = _between(sound, rows[band] - 0.5, columns[inside_x] - 0.5)
        at = np.ix_(band, inside_x)
        depth[at] = np.nan_to_num(np.where(np.isnan(smooth), nearest, smooth))
        confidence[at] = np.where(np.isnan(nearest), 0, scene.confidence[view][np.ix_(nearest_y, nearest_x)])
    return depth, confidence


def _between(depth: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Depth [n, m] float32 between pixel centers, whose indices are real numbers; NaN where the four around do not agree."""
    (top, bottom, down), (left, right, across) = (
        _neighbors(places, count) for places, count in ((rows, depth.shape[0]), (columns, depth.shape[1]))
    )
    corners = [depth[np.ix_(row, column)] for row in (top, bottom) for column in (left, right)]
    least, most = np.minimum.reduce(corners), np.maximum.reduce(corners)  # NaN if one is
    upper, lower = ((1 - across) / first + across / second for first, second in (corners[:2], corners[2:]))
    inverse = (1 - down)[:, None] * upper + down[:, None] * lower
    return np.where(most - least <= AGREEMENT * least, 1 / inverse, np.nan).astype(np.float32)


def _neighbors(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The indices before and after real-valued indices [n], within the map, and how far they are towards the latter."""
    before = np.clip(np.floor(places).astype(np.int64), 0, max(count - 2, 0))
    after = np.minimum(before + 1, count - 1)
    return before, after, np.clip(places - before, 0, 1).astype(np.float32)
