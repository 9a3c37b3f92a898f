"""The rule `covisibility_walk`."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from zipmap_pl.datasets.view_sampling.groups import ATTEMPTS
from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect
from zipmap_pl.datasets.view_sampling.rules.unordered import UnorderedSet

GOOD_ATTEMPTS = 4  # walks from references with neighbours, until one has enough different frames


@dataclass(frozen=True)
class CovisibilityWalk:
    """A random walk over the neighbours, from a random reference (the published rule of BlendedMVS).

    The next frame is an unvisited neighbour of the present one, with a probability proportional to the overlap above
    `min_overlap`; if all are visited, any neighbour; if there is none, back where the walk came from. A walk with fewer
    different frames than min(count, max(count // 5, 3)) is given up for a reference near by; of a few such walks the
    one with the most different frames is taken.

    Attributes:
        min_overlap: neighbours with less or the same overlap do not count.
    """

    min_overlap: float = 0.0

    def __post_init__(self) -> None:
        expect(0 <= self.min_overlap < 1, "min_overlap", self.min_overlap, "from 0 to below 1")

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """Frames as walked. A scene in which nothing overlaps gives an unordered set."""
        enough = min(count, max(count // 5, 3))
        reference = int(rng.integers(scene.frame_count))
        good: list[list[int]] = []
        for _ in range(ATTEMPTS):
            walk = self._walk(rng, scene, reference, count)
            if len(walk) == count:
                good.append(walk)
            if len(good) == GOOD_ATTEMPTS or (good and len(set(good[-1])) >= enough):
                break
            reference = (reference + int(rng.integers(1, count, endpoint=True))) % scene.frame_count
        if not good:
            return UnorderedSet().draw(rng, scene, count)
        return np.array(max(good, key=lambda walk: len(set(walk))), np.int64)

    def _walk(self, rng: np.random.Generator, scene: SceneFrames, reference: int, count: int) -> list[int]:
        """`count` frames, or only the reference if it has no neighbours."""
        walk, visited = [reference], {reference}
        while len(walk) < count:
            options = [(f, o - self.min_overlap) for f, o in scene.neighbours(walk[-1]) if o > self.min_overlap]
            options = [option for option in options if option[0] not in visited] or options
            if not options:
                if len(walk) == 1:
                    break
                options = [(walk[-2], 1.0)]
            walk.append(_weighted(rng, options))
            visited.add(walk[-1])
        return walk


def _weighted(rng: np.random.Generator, options: list[tuple[int, float]]) -> int:
    """One of (frame, weight) in proportion to its weight."""
    bounds = list(accumulate(weight for _, weight in options))  # numpy takes longer for so few
    place = bisect_right(bounds, rng.random() * bounds[-1])
    return options[min(place, len(options) - 1)][0]


RULE = CovisibilityWalk
