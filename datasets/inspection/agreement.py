"""Do a dataset's depth maps and cameras agree with each other? Warps depth from one frame into another and compares.

A wrong camera axis, pose direction, depth kind or focal length shows at once: right data agree to about 1 %, wrong data
to 5-50 %. What right data reach depends on what they are (`Rule`); docs/agreement.md has a table of what is caught.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.schema import PARTS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.images.resample import nearest_in_cells

GOOD: Final = 0.02  # relative error of a pixel that agrees, beside what a quarter of a pixel changes
FEW: Final = 0.05  # share of scenes that may disagree without a misunderstood convention, which spoils most of them
THIN_SHARE: Final = (
    0.5  # of the pixels with depth: real sensors and reconstructions that know less are laser points or stereo
)
LEAST_COMPARED: Final = 200  # pixels, without which a scene is not judged
THINNED: Final = 16384  # pixels that are compared of a large picture


@dataclass(frozen=True)
class Rule:
    """What right data of one kind reach.

    Attributes:
        within: relative difference up to which a pixel agrees.
        least_share: share of the pixels that agree.
        largest_median: median of the relative differences.
    """

    within: float
    least_share: float
    largest_median: float = math.inf


DENSE: Final = Rule(GOOD, least_share=0.8)  # right data reach 0.9 five frames apart, wrong data 0.1 to 0.76
THIN: Final = Rule(0.05, least_share=0.7)  # depth from lasers and stereo, known in less than half of the pixels
MOVING: Final = Rule(GOOD, least_share=0.0, largest_median=0.02)  # things move, and no mask says which


def rule_of(kind: str, source: str, masked: bool, known: float) -> Rule:
    """What is expected of a scene.

    Args:
        kind, source: of the dataset ("static" or "dynamic", "real" or "synthetic").
        masked: the scene has masks of what moves.
        known: share of its pixels with depth.
    """
    if kind == "dynamic" and not masked:
        return MOVING
    return THIN if source == "real" and known < THIN_SHARE else DENSE


@dataclass(frozen=True)
class Agreement:
    """How well the depths of a scene agree.

    Attributes:
        median_relative: median of |z_warped - z_found| / z_found; NaN if fewer than 200 pixels could be compared.
        good_share: share of compared pixels that agree (see `compare`) as the rule says; NaN likewise.
        rule: what is expected.
    """

    median_relative: float
    good_share: float
    rule: Rule = DENSE

    @property
    def disagrees(self) -> bool:
        """Return True if depth and cameras look as if a convention was misunderstood."""
        return self.good_share < self.rule.least_share or self.median_relative > self.rule.largest_median

    @property
    def checked(self) -> bool:
        """Return True if enough pixels could be compared to judge."""
        return not math.isnan(self.good_share)


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
    """Warp the source's depths into the target's camera and compare them with what its depth map has there.

    Only pixels that land on a valid pixel of the target. A point behind the surface found there may be hidden by it, and
    is not compared, unless the source contradicts: warped back, that surface would stand in front of what it sees.

    The nearest pixel is taken, so the point lies a quarter of a pixel beside what is compared, on average. On a slanted
    surface in a small picture that is 2 % and more: it is allowed for.

    Returns:
        |z_warped - z_found| / z_found [n], and what a quarter of a pixel changes, relative to z_found [n]. The two agree to
        2 % where the first is at most the second plus 0.02.
    """
    points = cameras.pixel_points(source.depth, source.intrinsics)[source.depth > 0]
    relative = cameras.compose(target.world_to_cam, cameras.invert_rigid(source.world_to_cam))
    z, row, column, found = _landed(points, relative, target)
    slack = _quarter_of_a_pixel(target.depth, row, column, found)
    compared = np.ones(len(z), bool)
    behind = np.flatnonzero(z - found > GOOD * found + slack)
    compared[behind] = _contradicted(row[behind], column[behind], target, source, cameras.invert_rigid(relative))
    z, found, slack = z[compared], found[compared], slack[compared]
    return np.abs(z - found) / found, slack / found


def _landed(
    points: np.ndarray, transform: np.ndarray, target: DepthView
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Depth, row and column of the points [P, 3] that land on a valid pixel of the target, and the depth found there, all [n]."""
    moved = cameras.transform_points(transform, points)
    row, column, inside = cameras.pixels_of(moved, target.intrinsics, target.depth.shape)
    row, column, z = row[inside], column[inside], moved[inside, 2]
    found = target.depth[row, column].astype(np.float64)
    known = found > 0
    return z[known], row[known], column[known], found[known]


def _contradicted(
    row: np.ndarray, column: np.ndarray, target: DepthView, source: DepthView, source_from_target: np.ndarray
) -> np.ndarray:
    """Which of these pixels [m] of the target show something that the source does not see where it would have to."""
    fx, fy, cx, cy = target.intrinsics
    depth = target.depth[row, column].astype(np.float64)
    points = np.stack(((column + 0.5 - cx) / fx * depth, (row + 0.5 - cy) / fy * depth, depth), axis=-1)
    moved = cameras.transform_points(source_from_target, points)
    row, column, inside = cameras.pixels_of(moved, source.intrinsics, source.depth.shape)
    found = source.depth[row, column].astype(np.float64)
    slack = _quarter_of_a_pixel(source.depth, row, column, found)
    return inside & (found > 0) & (moved[:, 2] < (1 - GOOD) * found - slack)


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
    """The view as a smaller picture of about so many of its pixels, on a regular grid; their rays stay what they are.

    Scattered points are moved along their depth to the rays of the grid: of those in a cell, the nearest one.
    """
    stride = math.ceil(math.sqrt(view.depth.size / pixels))
    if stride < 2:
        return view
    start = stride // 2
    focal, centre = view.intrinsics[:2] / stride, (view.intrinsics[2:] - start - 0.5) / stride + 0.5
    cells = (np.arange(side) // stride for side in view.depth.shape)
    depth = nearest_in_cells(view.depth, view.depth[start::stride, start::stride].copy(), *cells)
    return replace(view, depth=depth, intrinsics=np.concatenate((focal, centre)))


def pair_places(count: int, step: int, pairs: int) -> list[int]:
    """Up to `pairs` evenly spaced places among `count` frames that have another frame `step` later."""
    starts = count - step
    return sorted({k * (starts - 1) // max(pairs - 1, 1) for k in range(pairs)}) if starts > 0 else []


def scene_rule(index: ShardIndex, scene: int) -> Rule:
    """What is expected of a scene."""
    info, masked = index.info, False
    if info["kind"] == "dynamic":
        rows = index.scene_rows(scene)
        masked = bool(np.any(index["frame.part_length"][rows.start : rows.stop, PARTS.index("dynamic")]))
    return rule_of(info["kind"], info["source"], masked, float(index["scene.valid_share"][scene]))


def scene_agreement(index: ShardIndex, scene: int, step: int = 5, max_pairs: int = 8) -> Agreement:
    """Compare frames of a scene with those `step` later (fewer if the scene is shorter), over evenly spaced pairs."""
    rows, reader, rule = index.scene_rows(scene), FrameReader(index), scene_rule(index, scene)
    step = min(step, max(1, len(rows) - 1))
    places = pair_places(len(rows), step, max_pairs)
    pairs = [(read_view(reader, rows[place]), read_view(reader, rows[place + step])) for place in places]
    relative, slack = np.concatenate([np.zeros((2, 0)), *[np.stack(compare(*pair)) for pair in pairs]], axis=1)
    if relative.size < LEAST_COMPARED:
        return Agreement(math.nan, math.nan, rule)
    return Agreement(float(np.median(relative)), float(np.mean(relative <= rule.within + slack)), rule)


def written_agreements(index: ShardIndex) -> Iterator[Agreement]:
    """What was measured of every scene while it was written."""
    columns = zip(index["scene.agreement_median"].tolist(), index["scene.agreement_good"].tolist(), strict=True)
    for scene, (median, good) in enumerate(columns):
        yield Agreement(median, good, scene_rule(index, scene))
