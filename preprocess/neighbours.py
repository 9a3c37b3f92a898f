"""Which other frames of its scene a frame shares most of its view with, from poses and depth thumbnails.

For each frame a bounded number of candidates (near in time, near in position and viewing direction) is compared by
warping its thumbnail into theirs, so that the work is linear in the number of frames.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from zipmap_pl.datasets import cameras
from zipmap_pl.datasets.schema import MAX_NEIGHBOURS

TEMPORAL_OFFSETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SPATIAL_CANDIDATES = 48
DIRECTION_WEIGHT = 1.0  # normalised units (median depths) that a turn by one radian counts as
DEPTH_TOLERANCE = 0.1  # relative; thumbnails are coarse


@dataclass(frozen=True)
class SceneViews:
    """The frames of one scene, as the index has them.

    Attributes:
        world_to_cam: [n, 3, 4] float64.
        intrinsics: [n, 4] float64, pixels of the stored picture.
        sizes: [n, 2], height and width of the stored picture.
        thumbnails: n depth maps [h, w] float32 in normalised units, 0 = invalid.
    """

    world_to_cam: np.ndarray
    intrinsics: np.ndarray
    sizes: np.ndarray
    thumbnails: list[np.ndarray]


def find_neighbours(views: SceneViews) -> tuple[np.ndarray, np.ndarray]:
    """The best neighbours of every frame.

    Returns:
        neighbours [n, 32] int32, places in the scene by falling overlap, -1 = none; overlap [n, 32] uint8, the share of
        the frame's pixels that the neighbour sees too, 255 = all. Without depth, pixels count as infinitely far.
    """
    count = len(views.thumbnails)
    neighbours = np.full((count, MAX_NEIGHBOURS), -1, np.int32)
    overlaps = np.zeros((count, MAX_NEIGHBOURS), np.uint8)
    if count < 2:
        return neighbours, overlaps
    near = _near_in_space(views.world_to_cam)
    intrinsics = _thumbnail_intrinsics(views)
    stack, shapes = _stack(views.thumbnails)
    for frame in range(count):
        candidates = _candidates(frame, count, near[frame])
        share = _overlap(frame, candidates, views, intrinsics, stack, shapes)
        coded = np.rint(share * 255).astype(np.uint8)
        order = np.argsort(-coded.astype(int), kind="stable")[:MAX_NEIGHBOURS]
        order = order[coded[order] > 0]
        neighbours[frame, : len(order)] = candidates[order]
        overlaps[frame, : len(order)] = coded[order]
    return neighbours, overlaps


def _near_in_space(world_to_cam: np.ndarray) -> np.ndarray:
    """[n, k] nearest frames by camera centre and viewing direction."""
    centres = cameras.invert_rigid(world_to_cam)[:, :, 3]
    directions = world_to_cam[:, 2, :3]  # third row of the rotation: the optical axis in the world
    features = np.concatenate((centres, DIRECTION_WEIGHT * directions), axis=1)
    wanted = min(len(features), SPATIAL_CANDIDATES + 1)
    return cKDTree(features).query(features, k=wanted)[1].reshape(len(features), wanted)


def _candidates(frame: int, count: int, near: np.ndarray) -> np.ndarray:
    """Sorted places to compare a frame with; bounded, without the frame itself."""
    steps = np.array(TEMPORAL_OFFSETS)
    places = np.unique(np.concatenate((frame - steps, frame + steps, near)))
    return places[(places >= 0) & (places < count) & (places != frame)]


def _thumbnail_intrinsics(views: SceneViews) -> np.ndarray:
    """Intrinsics [n, 4] in pixels of the thumbnails."""
    shapes = np.array([thumbnail.shape for thumbnail in views.thumbnails], np.float64)
    vertical, horizontal = (shapes / views.sizes).T
    return np.asarray(views.intrinsics) * np.stack((horizontal, vertical, horizontal, vertical), axis=1)


def _stack(thumbnails: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails in one array [n, h, w], padded with 0, and their own sizes [n, 2]."""
    shapes = np.array([thumbnail.shape for thumbnail in thumbnails])
    stack = np.zeros((len(thumbnails), *shapes.max(axis=0)), np.float32)
    for place, thumbnail in enumerate(thumbnails):
        stack[place, : thumbnail.shape[0], : thumbnail.shape[1]] = thumbnail
    return stack, shapes


def _overlap(
    frame: int, others: np.ndarray, views: SceneViews, intrinsics: np.ndarray, stack: np.ndarray, shapes: np.ndarray
) -> np.ndarray:
    """Share [m] of the frame's pixels that each of the other frames [m] sees: inside its picture and not hidden."""
    depth = views.thumbnails[frame]
    valid = depth > 0
    known = bool(valid.any())
    points = cameras.pixel_points(depth if known else np.ones_like(depth), intrinsics[frame])
    points = points[valid] if known else points.reshape(-1, 3)
    relative = cameras.compose(views.world_to_cam[others], cameras.invert_rigid(views.world_to_cam[frame])[None])
    if not known:
        relative[:, :, 3] = 0.0
    moved = cameras.transform_points(relative, points[None])
    row, column, inside = cameras.pixels_of(moved, intrinsics[others], shapes[others])
    if not known:
        return inside.mean(axis=1)
    z = moved[..., 2]
    agrees = np.abs(stack[others[:, None], row, column] - z) <= DEPTH_TOLERANCE * z
    return (inside & agrees).mean(axis=1)
