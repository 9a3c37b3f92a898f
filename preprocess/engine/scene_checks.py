"""Every scene is checked while it is written, so that a wrong convention is seen on the first one.

While a shard is written, the depth of a few of its frames is carried by the cameras into later frames and compared with
the depth found there: right data agree, and a wrong axis, pose direction, depth kind or focal length shows at once. What
was measured goes into the sidecar, from there into the columns of the index, and `zipmap shards info` shows it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from zipmap_pl.datasets.inspection.agreement import DISAGREEMENT, DepthView, compare, pair_places, thinned
from zipmap_pl.geometry import exact_cameras as cameras

STEP = 5  # frames that the two of a pair are apart; fewer in shorter spans
PAIRS = 6  # of each scene in each shard


@dataclass(frozen=True)
class PairCheck:
    """Two frames of a scene, compared.

    Attributes:
        scene: number of the scene.
        ordinal: of the earlier frame.
        compared: pixels that could be compared.
        good: share of them that agree to 2 % (`agreement.compare`).
        median: of the relative differences.
    """

    scene: int
    ordinal: int
    compared: int
    good: float
    median: float


@dataclass
class SpanCheck:
    """Compares frames of one scene in one shard as they come, in order.

    Attributes:
        scene: number of the scene.
        first, count: the span's frames.
        pairs: what was found so far.
    """

    scene: int
    first: int
    count: int
    pairs: list[PairCheck] = field(default_factory=list)
    _waiting: dict[int, tuple[int, DepthView]] = field(default_factory=dict)

    def wants(self, ordinal: int) -> bool:
        """Whether this frame is one of a pair."""
        return ordinal in self._starts or ordinal in self._waiting

    def add(self, ordinal: int, view: DepthView) -> None:
        """A frame that `wants` asked for."""
        start, source = self._waiting.pop(ordinal, (0, None))
        if source is not None:
            relative, agree = compare(source, view)
            if relative.size:
                good, median = float(np.mean(agree)), float(np.median(relative))
                self.pairs.append(PairCheck(self.scene, start, relative.size, round(good, 4), round(median, 6)))
        if ordinal in self._starts:
            self._waiting[ordinal + self._step] = (ordinal, thinned(view))

    @property
    def _step(self) -> int:
        return min(STEP, max(1, self.count - 1))

    @property
    def _starts(self) -> list[int]:
        return [self.first + place for place in pair_places(self.count, self._step, PAIRS)]


def scene_agreement_of(pairs: Iterable[PairCheck]) -> tuple[float, float]:
    """Median relative difference and share within 2 % of a scene, from its pairs; NaN, NaN without any."""
    pairs = list(pairs)
    if not pairs:
        return float("nan"), float("nan")
    weights = np.array([pair.compared for pair in pairs], np.float64)
    good = float(np.sum(weights * [pair.good for pair in pairs]) / np.sum(weights))
    return float(np.median([pair.median for pair in pairs])), good


def disagreeing_scenes(pairs: Iterable[PairCheck]) -> dict[int, float]:
    """Numbers of the scenes whose depth and cameras do not agree, and the share of pixels that do."""
    of_scene: dict[int, list[PairCheck]] = {}
    for pair in pairs:
        of_scene.setdefault(pair.scene, []).append(pair)
    shares = {scene: scene_agreement_of(found)[1] for scene, found in sorted(of_scene.items())}
    return {scene: share for scene, share in shares.items() if share < DISAGREEMENT}


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
