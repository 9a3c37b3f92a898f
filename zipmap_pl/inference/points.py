"""Which points of a scene are worth showing."""

from typing import NamedTuple

import numpy as np

from zipmap_pl.contracts.scene import Scene


class PointCloud(NamedTuple):
    """Points of a scene: world coordinates `points` [N, 3] float32 in OpenCV axes and `colors` [N, 3] uint8 RGB."""

    points: np.ndarray
    colors: np.ndarray


def choose_points(scene: Scene, confidence_percentile: float, max_points: int) -> PointCloud:
    """The points at or above a percentile of the confidence, thinned at random to `max_points`.

    Points that are not finite are left out; at least one has to be finite.
    """
    points = scene.points.reshape(-1, 3)
    finite = np.isfinite(points).all(axis=1)
    confidence = np.where(finite, np.nan_to_num(scene.confidence.reshape(-1)), 0)
    keep = np.flatnonzero(finite)
    keep = keep[confidence[keep] >= np.percentile(confidence[keep], confidence_percentile)]
    if len(keep) > max_points:
        keep = np.sort(np.random.default_rng(0).choice(keep, max_points, replace=False))
    return PointCloud(points[keep].astype(np.float32), scene.images.reshape(-1, 3)[keep])
