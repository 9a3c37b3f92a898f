"""In which views the points of a scene are seen, and at which pixels of the user's own photos: found by reprojection."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.geometry.exact_cameras import transform_points
from zipmap_pl.inference.points import PointCloud

AGREEMENT = 0.02  # a view sees a point if its own depth there differs by less than that share
LONGEST = 12  # observations of a point; more would only make the files larger


@dataclass(frozen=True)
class Tracks:
    """M observations of the N points of a cloud, sorted by view, then by point.

    Attributes:
        points: [M] int64, the place of the point in the cloud.
        views: [M] int64.
        pixels: [M, 2] float64, x and y in the user's photo, measured from its corner.
        errors: [N] float64, mean distance in those pixels between where a point is observed and where its camera puts it.
    """

    points: np.ndarray
    views: np.ndarray
    pixels: np.ndarray
    errors: np.ndarray


def find_tracks(scene: Scene, cloud: PointCloud) -> Tracks:
    """Follow every point through the scene.

    A point is observed at the center of the pixel that it comes from, and in every other view whose depth agrees with it,
    where it projects to. Of the views that see a point more often than `LONGEST` times, some at random are kept.
    """
    count, errors = np.ones(len(cloud.points), np.int64), np.zeros(len(cloud.points))
    found = []
    for view in np.random.default_rng(0).permutation(np.flatnonzero(scene.usable)):
        own = np.flatnonzero(cloud.views == view)
        at, seen = _project(scene, view, cloud.points)
        others = np.flatnonzero(seen & (count < LONGEST) & (cloud.views != view))
        count[others] += 1
        centers = cloud.pixels[own, ::-1] + 0.5
        scale, corner = scene.source_from_model[view, :2], scene.source_from_model[view, 2:]
        errors[own] = np.linalg.norm((at[own] - centers) * scale, axis=1)
        points = np.r_[own, others]
        order = np.argsort(points)
        pixels = np.concatenate([centers, at[others]]) * scale + corner
        found.append((view, points[order], pixels[order]))
    found.sort(key=lambda part: part[0])
    return Tracks(
        np.concatenate([points for _, points, _ in found]),
        np.concatenate([np.full(len(points), view) for view, points, _ in found]),
        np.concatenate([pixels for _, _, pixels in found]),
        errors / count,
    )


def _project(scene: Scene, view: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions x, y [N, 2] of world points [N, 3] in a view, at the model's size, and whether it sees them [N] bool."""
    local = transform_points(scene.world_to_cam[view], points.astype(np.float64))
    depth, k = local[:, 2], scene.intrinsics[view]
    height, width = scene.depth.shape[1:]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        at = local[:, :2] / depth[:, None] * k[[0, 1], [0, 1]] + k[:2, 2]
        seen = (depth > 0) & (at >= 0).all(axis=1) & (at < (width, height)).all(axis=1)
        column, row = np.where(seen[:, None], at, 0).astype(np.int64).T
        seen &= np.abs(scene.depth[view][row, column] - depth) < AGREEMENT * depth
    return at, seen
