"""Which other frames of its scene a frame shares most of its view with, from poses and depth thumbnails.

For each frame a bounded number of candidates (near in time, near in position and viewing direction) is compared by
warping its thumbnail into theirs, so that the work is linear in the number of frames.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from zipmap_pl.datasets.format.schema import MAX_NEIGHBOURS
from zipmap_pl.geometry import exact_cameras as cameras

TEMPORAL_OFFSETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SPATIAL_CANDIDATES = 48
DIRECTION_WEIGHT = 1.0  # normalised units (median depths) that a turn by one radian counts as
DEPTH_TOLERANCE = 0.1  # relative; thumbnails are coarse
PIXELS = 400  # of a thumbnail that are looked for in the others; of larger ones every second, third, ... row and column


@dataclass(frozen=True)
class SceneViews:
    """The frames of one scene, as the index has them.

    Attributes:
        world_to_cam: [n, 3, 4] float64.
        intrinsics: [n, 4] float64, pixels of the stored picture.
        sizes: [n, 2], height and width of the stored picture.
        thumbnails: n depth maps [h, w] of floats in normalised units, 0 = invalid.
    """

    world_to_cam: np.ndarray
    intrinsics: np.ndarray
    sizes: np.ndarray
    thumbnails: list[np.ndarray]


@dataclass(frozen=True)
class ComparedScene:
    """What is the same for all frames of a scene.

    Attributes:
        views: the frames.
        intrinsics: [n, 4] float64, pixels of the thumbnails.
        stack: [n, h + 2, w + 2] float16, thumbnails with a border of 0, padded with 0.
        shapes: [n, 2], of the thumbnails.
        features: [n, 6], camera centre and viewing direction.
        tree: of the features.
    """

    views: SceneViews
    intrinsics: np.ndarray
    stack: np.ndarray
    shapes: np.ndarray
    features: np.ndarray
    tree: cKDTree


def find_neighbours(views: SceneViews) -> tuple[np.ndarray, np.ndarray]:
    """The best neighbours of every frame: `neighbours_of` all of them."""
    return neighbours_of(compared(views), 0, len(views.thumbnails))


def neighbours_of(scene: ComparedScene, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The best neighbours of `count` frames from `first` on.

    Returns:
        neighbours [count, 32] int32, places in the scene by falling overlap, -1 = none; overlap [count, 32] uint8, the
        share of the frame's pixels that the neighbour sees too, 255 = all. Without depth, pixels count as infinitely far.
    """
    neighbours = np.full((count, MAX_NEIGHBOURS), -1, np.int32)
    overlaps = np.zeros((count, MAX_NEIGHBOURS), np.uint8)
    total = len(scene.shapes)
    if total < 2 or count == 0:
        return neighbours, overlaps
    wanted = min(total, SPATIAL_CANDIDATES + 1)
    near = scene.tree.query(scene.features[first : first + count], k=wanted)[1].reshape(count, wanted)
    for place in range(count):
        candidates = _candidates(first + place, total, near[place])
        coded = np.rint(_overlap(first + place, candidates, scene) * 255).astype(np.uint8)
        order = np.argsort(-coded.astype(int), kind="stable")[:MAX_NEIGHBOURS]
        order = order[coded[order] > 0]
        neighbours[place, : len(order)] = candidates[order]
        overlaps[place, : len(order)] = coded[order]
    return neighbours, overlaps


def compared(views: SceneViews) -> ComparedScene:
    """Prepare a scene for `neighbours_of`."""
    centres = cameras.invert_rigid(views.world_to_cam)[:, :, 3]
    directions = views.world_to_cam[:, 2, :3]  # third row of the rotation: the optical axis in the world
    features = np.concatenate((centres, DIRECTION_WEIGHT * directions), axis=1)
    shapes = np.array([thumbnail.shape for thumbnail in views.thumbnails], np.int64).reshape(-1, 2)
    vertical, horizontal = (shapes / views.sizes).T
    intrinsics = np.asarray(views.intrinsics) * np.stack((horizontal, vertical, horizontal, vertical), axis=1)
    return ComparedScene(views, intrinsics, _stack(views.thumbnails, shapes), shapes, features, cKDTree(features))


def _candidates(frame: int, count: int, near: np.ndarray) -> np.ndarray:
    """Sorted places to compare a frame with; bounded, without the frame itself."""
    steps = np.array(TEMPORAL_OFFSETS)
    places = np.unique(np.concatenate((frame - steps, frame + steps, near)))
    return places[(places >= 0) & (places < count) & (places != frame)]


def _stack(thumbnails: list[np.ndarray], shapes: np.ndarray) -> np.ndarray:
    """See `ComparedScene`."""
    height, width = shapes.max(axis=0, initial=0)
    stack = np.zeros((len(thumbnails), height + 2, width + 2), np.float16)
    for place, thumbnail in enumerate(thumbnails):
        stack[place, 1 : thumbnail.shape[0] + 1, 1 : thumbnail.shape[1] + 1] = thumbnail
    return stack


def _overlap(frame: int, others: np.ndarray, scene: ComparedScene) -> np.ndarray:
    """Share [m] of the frame's pixels that each of the other frames [m] sees: inside its picture and not hidden.

    In single precision, and with everything but the distance taken out of the loop over pixels: a point at distance d
    along the ray r is seen at K (R r + t / d), up to scale. What is not in the picture falls on the border, whose
    depth of 0 agrees with nothing, and what is behind the camera is sent there.
    """
    height, width = scene.shapes[frame]
    step = math.ceil(math.sqrt(height * width / PIXELS))
    depth = scene.stack[frame, 1 + step // 2 : height + 1 : step, 1 + step // 2 : width + 1 : step].astype(np.float32)
    valid = depth > 0
    known = bool(valid.any())
    inverse = np.divide(1, depth, where=valid, out=np.zeros_like(depth))
    rows, columns, z = _seen_at(frame, others, scene, inverse, step)
    limits = scene.shapes[others].astype(np.float32)[:, :, None, None] + 1
    rows, columns = (np.clip(place, 0, limits[:, axis]).astype(np.intp) for axis, place in enumerate((rows, columns)))
    padded_height, padded_width = scene.stack.shape[1:]
    if not known:
        height, width = np.moveaxis(scene.shapes[others], 1, 0)[..., None, None]
        inside = (rows > 0) & (rows <= height) & (columns > 0) & (columns <= width)
        return inside.mean(axis=(1, 2))
    rows += (others * padded_height)[:, None, None]
    rows *= padded_width
    rows += columns
    found = scene.stack.ravel().take(rows.reshape(len(others), -1)).astype(np.float32)
    z = (z * np.where(valid, depth, -1)).reshape(found.shape)  # a negative depth agrees with nothing
    found -= z
    np.abs(found, out=found)
    return np.count_nonzero(found <= DEPTH_TOLERANCE * z, axis=1) / np.count_nonzero(valid)


def _seen_at(
    frame: int, others: np.ndarray, scene: ComparedScene, inverse: np.ndarray, step: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the others see a frame's pixels.

    Args:
        inverse: [h, w] float32, 1 / depth of the pixels; 0 = infinitely far.
        step: rows and columns from one of these pixels to the next.

    Returns:
        row and column in the padded thumbnail, and z in units of the pixel's depth, all [m, h, w] float32.
    """
    world_to_cam = scene.views.world_to_cam
    relative = cameras.compose(world_to_cam[others], cameras.invert_rigid(world_to_cam[frame])[None])
    fx, fy, cx, cy = scene.intrinsics[others].T[..., None]
    # Rows of K [R | t], moved by one pixel for the border.
    z = relative[:, 2]
    x, y = relative[:, 0] * fx + z * (cx + 1), relative[:, 1] * fy + z * (cy + 1)
    fx, fy, cx, cy = scene.intrinsics[frame]
    height, width = inverse.shape
    across, down = (
        (np.arange(width) * step + step // 2 + 0.5 - cx) / fx,
        (np.arange(height) * step + step // 2 + 0.5 - cy) / fy,
    )

    def along(part: np.ndarray) -> np.ndarray:
        """A row [m, 4] applied to every pixel."""
        result = (part[:, 0, None] * across).astype(np.float32)[:, None, :] + (
            part[:, 1, None] * down + part[:, 2, None]
        ).astype(np.float32)[:, :, None]
        result += part[:, 3].astype(np.float32)[:, None, None] * inverse
        return result

    depth = np.maximum(along(z), np.float32(1e-6))
    rows, columns = along(y), along(x)
    rows /= depth
    columns /= depth
    return rows, columns, depth
