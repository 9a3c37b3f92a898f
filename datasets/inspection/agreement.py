"""Do a dataset's depth maps and cameras agree with each other? Warps depth from one frame into another and compares.

A wrong camera axis, pose direction, depth kind or focal length shows at once: right data agree to about
1 %, wrong data to 5-50 %.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.geometry import exact_cameras as cameras

GOOD = 0.02  # relative error of a pixel that agrees, beside what a quarter of a pixel changes
DISAGREEMENT = 0.8  # share of pixels that agree: right data reach 0.9 five frames apart, wrong data 0.1 to 0.76
FEW = 0.05  # share of scenes that may disagree without a misunderstood convention, which spoils most of them
THINNED = 16384  # pixels that are compared of a large picture


@dataclass(frozen=True)
class Agreement:
    """How well the depths of a scene agree.

    Attributes:
        median_relative: median of |z_warped - z_found| / z_found; NaN if no pixel could be compared.
        good_share: share of compared pixels that agree to 2 % (see `compare`); NaN likewise.
    """

    median_relative: float
    good_share: float

    @property
    def disagrees(self) -> bool:
        """Whether depth and cameras look as if a convention was misunderstood."""
        return self.good_share < DISAGREEMENT


@dataclass(frozen=True)
class DepthView:
    """Depth [H, W] float32 (0 = invalid), intrinsics [4] and world_to_cam [3, 4] of a frame."""

    depth: np.ndarray
    intrinsics: np.ndarray
    world_to_cam: np.ndarray


def read_view(reader: FrameReader, row: int) -> DepthView:
    """Depth and camera of a frame; where it has no depth, or where something is known to move, no pixel is valid."""
    index, (depth, _), dynamic = reader.index, reader.depth(row), reader.dynamic(row)
    if dynamic is not None:
        depth[dynamic] = 0
    return DepthView(depth, index["frame.intrinsics"][row], index["frame.world_to_cam"][row])


def compare(source: DepthView, target: DepthView) -> tuple[np.ndarray, np.ndarray]:
    """Carry the source's depths into the target's camera and hold them against what its depth map says there.

    Only pixels that land on a valid pixel of the target; the nearest one is taken, so the point lies a quarter of a pixel
    beside what is compared, on average. On a slanted surface in a small picture that is 2 % and more: it is allowed for.

    Returns:
        |z_warped - z_found| / z_found [n], and whether the two agree [n] bool.
    """
    points = cameras.pixel_points(source.depth, source.intrinsics)[source.depth > 0]
    relative = cameras.compose(target.world_to_cam, cameras.invert_rigid(source.world_to_cam))
    moved = cameras.transform_points(relative, points)
    row, column, inside = cameras.pixels_of(moved, target.intrinsics, target.depth.shape)
    row, column, warped = row[inside], column[inside], moved[inside, 2]
    found = target.depth[row, column].astype(np.float64)
    known = found > 0
    row, column, warped, found = row[known], column[known], warped[known], found[known]
    difference = np.abs(warped - found)
    return difference / found, difference <= GOOD * found + _quarter_of_a_pixel(target.depth, row, column, found)


def _quarter_of_a_pixel(depth: np.ndarray, row: np.ndarray, column: np.ndarray, here: np.ndarray) -> np.ndarray:
    """By how much the depth [n] of a smooth surface changes over a quarter of a pixel of each axis.

    The flatter side of each axis counts, so that an edge does not pass for a slope.
    """
    height, width = depth.shape
    change = np.zeros_like(here)
    for down, right in ((1, 0), (0, 1)):
        flatter = np.full_like(here, np.inf)
        for sign in (-1, 1):
            there = row + sign * down, column + sign * right
            inside = (there[0] >= 0) & (there[0] < height) & (there[1] >= 0) & (there[1] < width)
            beside = depth[np.where(inside, there[0], row), np.where(inside, there[1], column)].astype(np.float64)
            flatter = np.minimum(flatter, np.where(inside & (beside > 0), np.abs(beside - here), np.inf))
        change += np.where(np.isfinite(flatter), flatter / 4, 0)
    return change


def thinned(view: DepthView, pixels: int = THINNED) -> DepthView:
    """The view as a smaller picture of about so many of its pixels, on a regular grid; their rays stay what they are."""
    stride = math.ceil(math.sqrt(view.depth.size / pixels))
    if stride < 2:
        return view
    start = stride // 2
    focal, centre = view.intrinsics[:2] / stride, (view.intrinsics[2:] - start - 0.5) / stride + 0.5
    return replace(
        view, depth=view.depth[start::stride, start::stride].copy(), intrinsics=np.concatenate((focal, centre))
    )


def pair_places(count: int, step: int, pairs: int) -> list[int]:
    """Up to `pairs` evenly spaced places among `count` frames that have another frame `step` later."""
    starts = count - step
    return sorted({k * (starts - 1) // max(pairs - 1, 1) for k in range(pairs)}) if starts > 0 else []


def scene_agreement(index: ShardIndex, scene: int, step: int = 5, max_pairs: int = 8) -> Agreement:
    """Compare frames of a scene with those `step` later (fewer if the scene is shorter), over evenly spaced pairs."""
    rows, reader = index.scene_rows(scene), FrameReader(index)
    step = min(step, max(1, len(rows) - 1))
    places = pair_places(len(rows), step, max_pairs)
    pairs = [(read_view(reader, rows[place]), read_view(reader, rows[place + step])) for place in places]
    relative, agree = np.concatenate([np.zeros((2, 0)), *[np.stack(compare(*pair)) for pair in pairs]], axis=1)
    if relative.size == 0:
        return Agreement(*[float("nan")] * 2)
    return Agreement(float(np.median(relative)), float(np.mean(agree)))
