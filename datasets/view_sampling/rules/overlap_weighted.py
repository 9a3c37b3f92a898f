"""The rule `overlap_weighted`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.groups import ATTEMPTS, GOOD_ATTEMPTS, grow_group
from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect, expect_probability
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet


@dataclass(frozen=True)
class OverlapWeighted:
    """A random reference and frames drawn in proportion to their overlap with it (published for Matterport3D, Map-free).

    Attributes:
        min_overlap, max_overlap: only frames strictly between count (the same view again is no use).
        repeat: probability of drawing with replacement; always where too few frames overlap.
        candidates: draw from so many frames at most.
    """

    min_overlap: float = 0.01
    max_overlap: float = 1.0
    repeat: float = 0.5
    candidates: int = 64

    def __post_init__(self) -> None:
        overlaps = [self.min_overlap, self.max_overlap]
        expect(
            0 <= self.min_overlap < self.max_overlap <= 1, "[min_overlap, max_overlap]", overlaps, "0 <= min < max <= 1"
        )
        expect_probability("repeat", self.repeat)
        expect(self.candidates >= 1, "candidates", self.candidates, "1 or more")

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """The reference first. References with enough different others are preferred; a scene in which nothing
        overlaps gives an unordered set."""
        replace = rng.random() < self.repeat
        enough = 1 if replace else min(count, scene.frame_count) - 1
        good: list[tuple[int, list[tuple[int, float]]]] = []
        for _ in range(ATTEMPTS):
            reference = int(rng.integers(scene.frame_count))
            others = self._others(scene, reference)
            if others:
                good.append((reference, others))
            if len(good) == GOOD_ATTEMPTS or (good and len(others) >= enough):
                break
        if not good:
            return UnorderedSet().draw(rng, scene, count)
        reference, others = max(good, key=lambda candidate: len(candidate[1]))
        frames, overlaps = (np.array(column) for column in zip(*others, strict=True))
        replace = replace or len(frames) < count - 1
        drawn = rng.choice(frames, size=count - 1, replace=replace, p=overlaps / overlaps.sum())
        return np.concatenate([[reference], drawn])

    def _others(self, scene: SceneFrames, reference: int) -> list[tuple[int, float]]:
        group = grow_group(scene, reference, self.candidates + 1, self.min_overlap)
        return [(f, o) for f, o in group[1:] if self.min_overlap < o < self.max_overlap]


RULE = OverlapWeighted
