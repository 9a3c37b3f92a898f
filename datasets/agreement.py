"""Do a dataset's depth maps and cameras agree with each other? Warps depth from one frame into another and compares.

A wrong camera axis, pose direction, depth kind or focal length shows at once: right data agree to about
1 %, wrong data to 5-50 %.
"""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets import cameras
from zipmap_pl.datasets.depth_coding import read_depth
from zipmap_pl.datasets.shard_index import ShardIndex

GOOD = 0.02  # relative error of a pixel that agrees


@dataclass(frozen=True)
class Agreement:
    """How well the depths of a scene agree.

    Attributes:
        pairs: pairs of frames compared.
        median_absolute: median |z_warped - z_found| in normalised units; NaN if no pixel could be compared.
        median_relative: median of that divided by z_found.
        good_share: share of compared pixels with a relative error up to 2 %.
    """

    pairs: int
    median_absolute: float
    median_relative: float
    good_share: float


@dataclass(frozen=True)
class DepthView:
    """Depth [H, W] float32 (0 = invalid), intrinsics [4] and world_to_cam [3, 4] of a frame."""

    depth: np.ndarray
    intrinsics: np.ndarray
    world_to_cam: np.ndarray


def read_view(index: ShardIndex, row: int) -> DepthView | None:
    """Depth and camera of a frame; None if it has no depth."""
    data = index.read_part(row, "depth")
    if data is None:
        return None
    depth, _ = read_depth(data, index["frame.depth_range"][row])
    return DepthView(depth, index["frame.intrinsics"][row], index["frame.world_to_cam"][row])


def warped_depths(source: DepthView, target: DepthView) -> tuple[np.ndarray, np.ndarray]:
    """Depths [n] of the source's pixels as seen by the target's camera, and what the target's depth map [n] says there.

    Only pixels that land on a valid pixel of the target; the nearest one is taken.
    """
    points = cameras.pixel_points(source.depth, source.intrinsics)[source.depth > 0]
    relative = cameras.compose(target.world_to_cam, cameras.invert_rigid(source.world_to_cam))
    x, y, z = cameras.transform_points(relative, points).T
    front = z > 1e-9
    x, y, z = x[front], y[front], z[front]
    fx, fy, cx, cy = target.intrinsics
    column, row = np.floor(x / z * fx + cx), np.floor(y / z * fy + cy)
    height, width = target.depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = target.depth[row[inside].astype(int), column[inside].astype(int)].astype(np.float64)
    return z[inside][found > 0], found[found > 0]


def scene_agreement(index: ShardIndex, scene: int, step: int = 5, max_pairs: int = 8) -> Agreement:
    """Compare frames of a scene with those `step` later (fewer if the scene is shorter), over evenly spaced pairs."""
    rows = index.scene_rows(scene)
    step = min(step, max(1, len(rows) - 1))
    starts = len(rows) - step
    places = sorted({k * (starts - 1) // max(max_pairs - 1, 1) for k in range(max_pairs)}) if starts > 0 else []
    warped, found, pairs = [np.zeros(0)], [np.zeros(0)], 0
    for place in places:
        source, target = read_view(index, rows[place]), read_view(index, rows[place + step])
        if source is not None and target is not None:
            there, here = warped_depths(source, target)
            warped.append(there)
            found.append(here)
            pairs += 1
    there, here = np.concatenate(warped), np.concatenate(found)
    if here.size == 0:
        return Agreement(pairs, *[float("nan")] * 3)
    error = np.abs(there - here)
    relative = error / here
    return Agreement(pairs, float(np.median(error)), float(np.median(relative)), float(np.mean(relative <= GOOD)))
