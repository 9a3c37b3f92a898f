"""Every scene is checked while it is written, so that a wrong convention is seen on the first one.

While a shard is written, the depth of a few of its frames is warped into other frames and compared with the depth found
there: right data agree, and a wrong axis, pose direction, depth kind or focal length shows at once. What was measured
goes into the sidecar, from there into the columns of the index, and `zipmap shards info` shows it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from zipmap_pl.datasets.inspection.agreement import (
    DENSE,
    GOOD,
    LEAST_COMPARED,
    THIN,
    THIN_SHARE,
    THINNED,
    Agreement,
    DepthView,
    Rule,
    compare,
    pair_places,
    rule_of,
    thinned,
)
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.engine.encode import EncodedFrame

STEP = 5  # frames that the two of a pair are apart, where that makes a good pair
PAIRS = 6  # of each scene in each shard
KEPT = 32  # frames from the start of a pair on, among all of which its other frame is looked for
KEPT_PIXELS = 65536  # of each of them
SMALLEST = 1024  # pixels: in smaller pictures one of them spans several percent of the depth
BASELINE = 0.05  # of the median depth: with less between the cameras, a wrong translation hardly shows
THIN_BASELINE = 0.12  # the same where depth is thin, which may be 5 % off instead of 2 %
ENOUGH = 0.25  # of the median depth: more between the cameras shows hardly more mistakes ...
WIDE = 0.5  # ... and with much more, they see other sides of things
SHOWS_MUCH = 0.7  # of what the best pair shows
OVERLAP = 0.5  # share of the picture, at the median depth, that the two of a pair have in common
GRID = 8  # rows and columns of points that stand for a picture


@dataclass(frozen=True)
class PairCheck:
    """Two frames of a scene, compared.

    Attributes:
        scene: number of the scene.
        ordinal: of the frame whose depth is warped.
        compared: pixels that could be compared.
        good: share of them that agree to 2 % (`agreement.compare`).
        median: of the relative differences.
        other: ordinal of the frame that it is compared with; -1 in sidecars of older versions.
        near: share that agrees to 5 %; None in sidecars of older versions.
        known: share of the pixels of both frames with depth.
        masked: the frames say what moves.
    """

    scene: int
    ordinal: int
    compared: int
    good: float
    median: float
    other: int = -1
    near: float | None = None
    known: float = 1.0
    masked: bool = False

    def share(self, rule: Rule) -> float:
        """Share of the pixels that agree as a rule says."""
        return self.near if self.near is not None and rule.within == THIN.within else self.good


@dataclass(frozen=True)
class KeptView:
    """A frame that may be one of a pair.

    Attributes:
        view: its depth in at most 65,536 pixels, and its camera.
        median: of the known depths.
        known, masked: see `PairCheck`.
        given: overlaps that the raw data give, by the other frame's ordinal.
    """

    view: DepthView
    median: float
    known: float
    masked: bool = False
    given: Mapping[int, float] = field(default_factory=dict)


@dataclass
class SpanCheck:
    """Compares frames of one scene in one shard, once all have come.

    Attributes:
        scene: number of the scene.
        first, count: the span's frames.
    """

    scene: int
    first: int
    count: int
    _kept: dict[int, KeptView] = field(default_factory=dict)

    def wants(self, ordinal: int) -> bool:
        """Return True if this frame may be one of a pair: few of a long span are."""
        return any(start <= ordinal < start + KEPT for start in self._starts)

    def add(self, ordinal: int, encoded: EncodedFrame) -> None:
        """A frame that `wants` asked for."""
        if not encoded.row["frame.valid_share"]:
            return
        view = thinned(encoded.depth_view(), KEPT_PIXELS)
        depths = view.depth[view.depth > 0]
        if depths.size and view.depth.size >= SMALLEST:
            known, masked = float(np.asarray(encoded.row["frame.valid_share"])), "dynamic" in encoded.parts
            given = zip(encoded.overlaps.ordinals.tolist(), (encoded.overlaps.shares / 255).tolist(), strict=True)
            self._kept[ordinal] = KeptView(view, float(np.median(depths)), known, masked, dict(given))

    def pairs(self) -> list[PairCheck]:
        """What the pairs of the span show."""
        found = [self._checked(*pair) for pair in chosen_pairs(self._kept, self._starts)]
        return [check for check in found if check is not None]

    @property
    def _starts(self) -> list[int]:
        step = STEP if self.count > STEP else 0
        return [self.first + place for place in pair_places(self.count, step, PAIRS)]

    def _checked(self, ordinal: int, other: int) -> PairCheck | None:
        """Two frames; None if no pixel can be compared."""
        one, two = self._kept[ordinal], self._kept[other]
        relative, slack = compare_kept(one, two)
        if not relative.size:
            return None
        good, near = (round(float(np.mean(relative <= within + slack)), 4) for within in (GOOD, THIN.within))
        known, masked = round((one.known + two.known) / 2, 4), one.masked or two.masked
        median = round(float(np.median(relative)), 6)
        return PairCheck(self.scene, ordinal, relative.size, good, median, other, near, known, masked)


def compare_kept(source: KeptView, target: KeptView, pixels: int = THINNED) -> tuple[np.ndarray, np.ndarray]:
    """`agreement.compare` of about so many pixels."""
    view = target.view
    if target.known < THIN_SHARE:  # with cells as large as the gaps, or points would hardly ever meet
        view = thinned(view, int(np.count_nonzero(view.depth)))
    return compare(thinned(source.view, pixels), view)


def chosen_pairs(kept: Mapping[int, KeptView], starts: Iterable[int]) -> list[tuple[int, int]]:
    """Which frames to compare: each start (or the next frame that is there) with the one that shows most.

    That is the frame five later, if it has half of the picture in common and stands 5 to 50 % of the median depth away;
    else the one of all frames that does best, by the overlaps that the raw data give, or by poses (depth would choose
    pairs that hide a mistake). Pairs that show much less than the best are left out: they agree whatever is wrong.
    """
    ordinals = np.array(sorted(kept))
    pairs: dict[tuple[int, int], float] = {}
    for start in starts:
        place = int(np.searchsorted(ordinals, start))
        if place == len(ordinals) or len(ordinals) < 2:
            continue
        ordinal = int(ordinals[place])
        share, baseline = _in_common(kept[ordinal], [kept[int(other)].view for other in ordinals])
        given = np.array([kept[ordinal].given.get(int(other), 0.0) for other in ordinals])
        share = given if given.any() else share
        shown = np.minimum(1, baseline / ENOUGH) * np.minimum(1, WIDE / np.maximum(baseline, WIDE))
        worth = np.minimum(1, share / OVERLAP) * (0.01 + shown) + 0.01 * share
        worth[place] = -1
        apart = (baseline >= (BASELINE if kept[ordinal].known >= THIN_SHARE else THIN_BASELINE)) & (baseline <= WIDE)
        later = np.flatnonzero((ordinals == ordinal + STEP) & (share >= OVERLAP) & apart)
        best = int(later[0]) if later.size else int(np.argmax(worth))
        pairs[ordinal, int(ordinals[best])] = float(worth[best])
    least = SHOWS_MUCH * max(pairs.values(), default=0)
    return sorted(pair for pair, worth in pairs.items() if worth >= least)


def _in_common(frame: KeptView, others: list[DepthView]) -> tuple[np.ndarray, np.ndarray]:
    """Share of the picture [n] that a frame has in common with others, if all it sees is at its median depth, and the
    distance of the cameras [n] in median depths.
    """
    to_world, median = cameras.invert_rigid(frame.view.world_to_cam), frame.median
    poses = np.stack([view.world_to_cam for view in others])
    sizes = np.array([view.depth.shape for view in others])
    intrinsics = np.stack([view.intrinsics for view in others])
    there = cameras.compose(poses, to_world[None])
    seen = cameras.pixels_of(
        cameras.transform_points(there, _plane(frame.view.intrinsics, frame.view.depth.shape, median)),
        intrinsics,
        sizes,
    )[2].mean(axis=1)
    planes = np.stack([_plane(view.intrinsics, view.depth.shape, median) for view in others])
    back = cameras.transform_points(cameras.invert_rigid(there), planes)
    own = np.repeat(frame.view.intrinsics[None], len(others), 0), np.repeat([frame.view.depth.shape], len(others), 0)
    share = np.minimum(seen, cameras.pixels_of(back, *own)[2].mean(axis=1))
    return share, np.sqrt(np.sum(there[:, :, 3] ** 2, axis=1)) / median


def _plane(intrinsics: np.ndarray, size: tuple[int, ...], depth: float) -> np.ndarray:
    """Points [64, 3] all over a picture, at one depth."""
    places = (np.arange(GRID) + 0.5) / GRID
    across, down = (
        (places * size[1] - intrinsics[2]) / intrinsics[0],
        (places * size[0] - intrinsics[3]) / intrinsics[1],
    )
    x, y = np.meshgrid(across, down)
    return depth * np.stack((x, y, np.ones_like(x)), axis=-1).reshape(-1, 3)


def scene_agreement_of(pairs: Iterable[PairCheck], rule: Rule = DENSE) -> Agreement:
    """How well a scene agrees, from its pairs; NaN if they compared fewer than 200 pixels."""
    pairs = list(pairs)
    weights = np.array([pair.compared for pair in pairs], np.float64)
    if np.sum(weights) < LEAST_COMPARED:
        return Agreement(math.nan, math.nan, rule)
    good = float(np.sum(weights * [pair.share(rule) for pair in pairs]) / np.sum(weights))
    return Agreement(float(np.median([pair.median for pair in pairs])), good, rule)


def scene_agreements(pairs: Iterable[PairCheck], kind: str, source: str) -> dict[int, Agreement]:
    """The same of all scenes that were checked, by number, of a dataset of this kind and source."""
    of_scene: dict[int, list[PairCheck]] = {}
    for pair in pairs:
        of_scene.setdefault(pair.scene, []).append(pair)
    found = {}
    for scene, checks in sorted(of_scene.items()):
        known = float(np.mean([check.known for check in checks]))
        found[scene] = scene_agreement_of(checks, rule_of(kind, source, any(check.masked for check in checks), known))
    return {scene: agreement for scene, agreement in found.items() if agreement.checked}


def camera_steps(world_to_cam: np.ndarray) -> tuple[float, float]:
    """How evenly a camera moves.

    Args:
        world_to_cam: [n, 3, 4], in the order of the scene.

    Returns:
        the largest distance between two frames that follow each other, in median distances (NaN without motion), and
        the largest turn between them in degrees (NaN for a single frame).
    """
    if len(world_to_cam) < 2:
        return float("nan"), float("nan")
    centres = cameras.invert_rigid(world_to_cam)[:, :, 3]
    steps = np.sqrt(np.sum(np.diff(centres, axis=0) ** 2, axis=1))
    middle = float(np.median(steps))
    # The trace of R1^T R2 is the sum of the products of their entries.
    traces = np.sum(world_to_cam[:-1, :, :3] * world_to_cam[1:, :, :3], axis=(1, 2))
    turn = float(np.degrees(np.arccos(np.clip((traces.min() - 1) / 2, -1, 1))))
    return (float(steps.max()) / middle if middle > 0 else float("nan")), turn
