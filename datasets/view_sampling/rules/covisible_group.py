"""The rule `covisible_group`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.groups import ATTEMPTS, grow_group
from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect, expect_probability
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet


@dataclass(frozen=True)
class CovisibleGroup:
    """Frames out of a group that sees one place (published for ARKitScenes, Map-free, MegaDepth and ScanNet++).

    The group holds a random reference and the frames with the largest overlap with it. If it has enough frames, different
    ones are drawn; otherwise 80 % of the samples draw with replacement, and 20 % repeat a permutation of the group. No
    view is fixed: the reference may come anywhere, or not at all.

    Attributes:
        frames: number of frames of the group, at most.
        per_view: if given, the group has per_view .. 2 per_view times as many frames as views, uniformly.
        least: references around which fewer frames than this, themselves included, see the place are passed over.
        min_overlap: frames with less or the same overlap do not belong to the group.
        by_overlap: draw each frame in proportion to its overlap with the reference, which has 1; otherwise all alike.
        replacement: always draw with replacement.
        in_order: share of samples that are sorted in time; the others stay as drawn.
    """

    frames: int = 64
    per_view: float | None = None
    least: int = 3
    min_overlap: float = 0.05
    by_overlap: bool = False
    replacement: bool = False
    in_order: float = 0.0

    def __post_init__(self) -> None:
        expect(self.frames >= 2, "frames", self.frames, "2 or more")
        expect(self.per_view is None or self.per_view >= 1, "per_view", self.per_view, "1 or more")
        expect(self.least >= 1, "least", self.least, "1 or more")
        expect(0 <= self.min_overlap < 1, "min_overlap", self.min_overlap, "from 0 to below 1")
        expect_probability("in_order", self.in_order)

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """Frames of one group. If no reference has a group of `least` frames, the largest one found will do; a scene in
        which nothing overlaps gives an unordered set."""
        size = self.frames if self.per_view is None else int(count * self.per_view * (1 + rng.random()))
        group = self._largest_group(rng, scene, size)
        if len(group) < min(3, size, scene.frame_count):
            return UnorderedSet().draw(rng, scene, count)
        frames, overlaps = (np.array(column) for column in zip(*group, strict=True))
        shares = overlaps / overlaps.sum() if self.by_overlap else None
        if self.replacement or (len(frames) < count and rng.random() < 0.8):
            drawn = rng.choice(frames, size=count, p=shares)
        elif shares is not None and len(frames) >= count:
            drawn = rng.choice(frames, size=count, replace=False, p=shares)
        else:
            drawn = np.resize(rng.permutation(frames), count)
        return np.sort(drawn) if rng.random() < self.in_order else drawn

    def _largest_group(self, rng: np.random.Generator, scene: SceneFrames, size: int) -> list[tuple[int, float]]:
        """The first group that is large enough, or the largest one of many attempts; at most `size` frames of it."""
        best: list[tuple[int, float]] = []
        for _ in range(ATTEMPTS):
            reference = int(rng.integers(scene.frame_count))
            group = grow_group(scene, reference, max(size, self.least), self.min_overlap)
            best = max(best, group, key=len)
            if len(best) >= min(self.least, scene.frame_count):
                break
        return best[:size]


RULE = CovisibleGroup
