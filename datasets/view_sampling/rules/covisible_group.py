"""Rules that follow which frames see the same, by the neighbours in the dataset's index.

The published lists of pairs and groups are not public. The index holds at most 32 neighbours of a frame with the share
of pixels seen in both; what lies further is reached through neighbours of neighbours.
"""

import heapq
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from zipmap_pl.datasets.view_sampling.scene import Scene, expect, expect_probability
from zipmap_pl.datasets.view_sampling.sets import UnorderedSet

ATTEMPTS = 100  # references that are tried until one has neighbours: scenes may have pictures that overlap with none
GOOD_ATTEMPTS = 4  # references with neighbours that are tried until one has enough


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

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
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

    def _walk(self, rng: np.random.Generator, scene: Scene, reference: int, count: int) -> list[int]:
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

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
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

    def _others(self, scene: Scene, reference: int) -> list[tuple[int, float]]:
        group = grow_group(scene, reference, self.candidates + 1, self.min_overlap)
        return [(f, o) for f, o in group[1:] if self.min_overlap < o < self.max_overlap]


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

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
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


def grow_group(scene: Scene, reference: int, size: int, min_overlap: float) -> list[tuple[int, float]]:
    """At most `size` frames (frame, overlap with the reference), the reference first, by falling overlap.

    The neighbours of the reference, then those of its best neighbour and so on, until there are enough. Of frames that
    are no neighbours of the reference, the overlap is the largest product of overlaps along a way that was found.
    Frames with an overlap of `min_overlap` or less are left out.
    """
    reached = {reference: 1.0}
    heap = [(-1.0, reference)]
    seen: set[int] = set()
    while heap and len(reached) < size:
        overlap, frame = heapq.heappop(heap)
        if frame in seen:
            continue
        seen.add(frame)
        for other, share in scene.neighbours(frame):
            product = -overlap * share
            if product <= min_overlap:
                break  # those that follow overlap less
            if product > reached.get(other, 0.0):
                reached[other] = product
                heapq.heappush(heap, (-product, other))
    others = sorted((pair for pair in reached.items() if pair[0] != reference), key=lambda pair: (-pair[1], pair[0]))
    return [(reference, 1.0), *others[: size - 1]]


def _weighted(rng: np.random.Generator, options: list[tuple[int, float]]) -> int:
    """One of (frame, weight) in proportion to its weight."""
    bounds = list(accumulate(weight for _, weight in options))  # numpy takes longer for so few
    place = bisect_right(bounds, rng.random() * bounds[-1])
    return options[min(place, len(options) - 1)][0]
