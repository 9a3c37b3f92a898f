"""The rule `covisible_group`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.groups import ATTEMPTS, grow_group
from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect, expect_probability
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet


@dataclass(frozen=True)
class CovisibleGroup:
    """Frames out of a group that sees one place (published for ARKitScenes, ScanNet++ and MegaDepth).

    The group holds the frames with the largest overlap with a random reference. If it has enough frames, different ones
    are drawn; otherwise 80 % of the samples draw with replacement, and 20 % repeat a permutation of the group.

    Attributes:
        frames: number of frames of the group, at most.
        per_view: if given, the group has per_view .. 2 per_view times as many frames as views, uniformly.
        min_overlap: frames with less or the same overlap do not belong to the group.
        replacement: always draw with replacement.
        in_order: share of samples that are sorted in time; the others stay as drawn.
    """

    frames: int = 64
    per_view: float | None = None
    min_overlap: float = 0.05
    replacement: bool = False
    in_order: float = 0.0

    def __post_init__(self) -> None:
        expect(self.frames >= 2, "frames", self.frames, "2 or more")
        expect(self.per_view is None or self.per_view >= 1, "per_view", self.per_view, "1 or more")
        expect(0 <= self.min_overlap < 1, "min_overlap", self.min_overlap, "from 0 to below 1")
        expect_probability("in_order", self.in_order)

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """Frames of one group. References with a group of 3 or more are preferred; a scene in which nothing overlaps
        gives an unordered set."""
        size = self.frames if self.per_view is None else int(count * self.per_view * (1 + rng.random()))
        for _ in range(ATTEMPTS):
            reference = int(rng.integers(scene.frame_count))
            group = np.array([frame for frame, _ in grow_group(scene, reference, size, self.min_overlap)])
            if len(group) >= min(3, size, scene.frame_count):
                break
        else:
            return UnorderedSet().draw(rng, scene, count)
        if self.replacement or (len(group) < count and rng.random() < 0.8):
            drawn = rng.choice(group, size=count)
        else:
            drawn = np.resize(rng.permutation(group), count)
        return np.sort(drawn) if rng.random() < self.in_order else drawn


RULE = CovisibleGroup
