"""The rule `overlap_weighted`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.groups import ATTEMPTS, grow_group
from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect, expect_probability
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet


@dataclass(frozen=True)
class OverlapWeighted:
    """A random reference and frames drawn in proportion to their overlap with it (published for Matterport3D).

    Attributes:
        min_overlap, max_overlap: only frames strictly between count (the same view again is no use).
        repeat: probability of drawing with replacement; always where too few frames overlap.
        candidates: draw from at most this many frames. Those beyond the neighbours in the index are estimates
            (`grow_group`), and are only looked for where the index has no room for more neighbours of the reference.
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
        """The reference first. It is the first of many tried that has enough different others, or that with the most of
        them; a scene in which nothing overlaps gives an unordered set."""
        replace = rng.random() < self.repeat
        enough = min(count, scene.frame_count) - 1
        reference, others = 0, list[tuple[int, float]]()
        for _ in range(ATTEMPTS):
            tried = int(rng.integers(scene.frame_count))
            found = self._others(scene, tried)
            if len(found) > len(others):
                reference, others = tried, found
            if others and len(others) >= enough:
                break
        if not others:
            return UnorderedSet().draw(rng, scene, count)
        frames, overlaps = (np.array(column) for column in zip(*others, strict=True))
        replace = replace or len(frames) < count - 1
        drawn = rng.choice(frames, size=count - 1, replace=replace, p=overlaps / overlaps.sum())
        return np.concatenate([[reference], drawn])

    def _others(self, scene: SceneFrames, reference: int) -> list[tuple[int, float]]:
        group = scene.neighbours(reference)
        if len(group) == scene.neighbour_rows.shape[1]:
            group = grow_group(scene, reference, self.candidates + 1, self.min_overlap)[1:]
        return [(f, o) for f, o in group[: self.candidates] if self.min_overlap < o < self.max_overlap]


RULE = OverlapWeighted
