"""Rules that walk forward through a scene from a start frame: videos, shuffled collections, turntables.

The source of all of them is the published common sampler (`get_seq_from_start_id`).
"""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.scene import Scene, expect, expect_probability


@dataclass(frozen=True)
class VideoOrCollection:
    """The published common sampler: a start, then random steps forward; in order ("video") or shuffled ("collection").

    Steps are uniform in `min` .. `max`, but at most twice what would just fit into the frames after the start. Views
    that fall behind the scene's end are replaced by unused frames after the start. A start that leaves as many frames
    as views takes them all in order; one that leaves fewer visits frames again (`Revisits`).

    Attributes:
        min, max: shortest and longest step between neighbouring views, in frames.
        video: share of samples that stay in order.
        constant: share of videos with one constant step.
        block: collections are permuted inside blocks of this many views; None = over all views.
        start_frames: a start leaves at least this many frames, itself included; None = as `start_share` says.
        start_share: a start leaves at least this share of the views, and 3; 1 = room for all views.
    """

    min: int = 1
    max: int = 25
    video: float = 0.5
    constant: float = 0.5
    block: int | None = None
    start_frames: int | None = None
    start_share: float = 1.0

    def __post_init__(self) -> None:
        expect(1 <= self.min <= self.max, "[min, max]", [self.min, self.max], "1 <= min <= max")
        expect_probability("video", self.video)
        expect_probability("constant", self.constant)
        expect(self.block is None or self.block >= 1, "block", self.block, "1 or more")
        expect(self.start_frames is None or self.start_frames >= 1, "start_frames", self.start_frames, "1 or more")
        expect(0 < self.start_share <= 1, "start_share", self.start_share, "above 0 and at most 1")

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """Frames; they repeat only where the start leaves fewer than `count`."""
        start = int(rng.integers(scene.frame_count - min(self._room(count), scene.frame_count) + 1))
        left = scene.frame_count - start
        if count in (1, left):
            return np.arange(start, start + count)
        if left < count:
            again = Revisits(self.min, self.max, self.video, self.constant, self.block)
            return again.draw_from(rng, scene.frame_count, count, start)
        steps = self._steps(rng, left - 1, count)
        video = rng.random() < self.video
        if video and rng.random() < self.constant:
            longest = min((left - 1) // (count - 1), self._longest(left - 1, count))
            steps[:] = rng.integers(min(self.min, longest), longest, endpoint=True)
        path = _path(start, steps)
        path = path[path < scene.frame_count]
        path = np.concatenate([path, start + unused(rng, path - start, left, count - len(path))])
        return np.sort(path) if video else shuffle_blocks(rng, path, self.block)

    def _room(self, count: int) -> int:
        """How many frames a start leaves at least, itself included."""
        if self.start_frames is not None:
            return self.start_frames
        return min(count, max(3, int(self.start_share * count)))

    def _longest(self, after: int, count: int) -> int:
        return min(self.max, 2 * after // (count - 1))

    def _steps(self, rng: np.random.Generator, after: int, count: int) -> np.ndarray:
        longest = self._longest(after, count)
        return rng.integers(min(self.min, longest), longest, size=count - 1, endpoint=True)


@dataclass(frozen=True)
class VideoIntervals:
    """Views in the order of time, with a constant or varying step. Fields as in `VideoOrCollection`, with video = 1."""

    min: int = 1
    max: int = 25
    constant: float = 0.5
    start_frames: int | None = None

    def __post_init__(self) -> None:
        self._walk()

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """Ascending frames, all different if the start leaves enough."""
        return self._walk().draw(rng, scene, count)

    def _walk(self) -> VideoOrCollection:
        return VideoOrCollection(self.min, self.max, 1.0, self.constant, None, self.start_frames)


@dataclass(frozen=True)
class BlockShuffled:
    """Views of a walk forward, permuted inside blocks. Fields as in `VideoOrCollection`, with video = 0."""

    min: int = 1
    max: int = 25
    block: int | None = 24
    start_frames: int | None = None

    def __post_init__(self) -> None:
        self._walk()

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """Frames that are near in time where they are near in the list."""
        return self._walk().draw(rng, scene, count)

    def _walk(self) -> VideoOrCollection:
        return VideoOrCollection(self.min, self.max, 0.0, 0.0, self.block, self.start_frames)


@dataclass(frozen=True)
class Turntable:
    """Views all around an object, in any order: wide steps, permuted as a whole (the published rule of OmniObject3D)."""

    max: int = 100
    start_frames: int | None = None

    def __post_init__(self) -> None:
        self._walk()

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """Different frames, if the start leaves enough."""
        return self._walk().draw(rng, scene, count)

    def _walk(self) -> BlockShuffled:
        return BlockShuffled(1, self.max, None, self.start_frames)


@dataclass(frozen=True)
class Revisits:
    """A camera that comes back: a few frames are seen again and again (the published common sampler, short case).

    A walk takes as many different frames as follow the start; half of the samples (all, if `video` is 1) repeat the
    walk cyclically, in order or block-shuffled; 40 % draw from it with replacement, 10 % do so and sort.

    Fields as in `VideoOrCollection`.
    """

    min: int = 1
    max: int = 25
    video: float = 0.5
    constant: float = 0.5
    block: int | None = None

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """Frames of a walk that starts anywhere, each perhaps several times."""
        return self.draw_from(rng, scene.frame_count, count, int(rng.integers(scene.frame_count)))

    def draw_from(self, rng: np.random.Generator, frame_count: int, count: int, start: int) -> np.ndarray:
        """The same for a start that was drawn already; the walk may begin earlier, to have room."""
        different = min(count, frame_count, max(2, frame_count - 1 - start))
        if different == 1:
            return np.full(count, start)
        start = int(rng.integers(min(start, frame_count - different), endpoint=True))
        longest = min(self.max, (frame_count - 1 - start) // (different - 1))
        shortest = min(self.min, longest)
        steps = rng.integers(shortest, longest, size=different - 1, endpoint=True)
        video = rng.random() < self.video
        if video and rng.random() < self.constant:
            steps[:] = rng.integers(shortest, longest, endpoint=True)
        path = _path(start, steps)
        way = rng.random()
        if way < 0.5 or self.video >= 1:
            return np.resize(path if video else shuffle_blocks(rng, path, self.block), count)
        drawn = rng.choice(path, size=count)
        return drawn if way < 0.9 else np.sort(drawn)


def shuffle_blocks(rng: np.random.Generator, frames: np.ndarray, block: int | None) -> np.ndarray:
    """Permute inside consecutive blocks of `block` entries; None permutes everything."""
    length = len(frames) if block is None else block
    blocks = [rng.permutation(frames[first : first + length]) for first in range(0, len(frames), length)]
    return np.concatenate(blocks)


def unused(rng: np.random.Generator, used: np.ndarray, frame_count: int, count: int) -> np.ndarray:
    """`count` different frames of 0 .. frame_count - 1 that are not in `used` (ascending, no repeats)."""
    ranks = rng.choice(frame_count - len(used), size=count, replace=False)  # among the frames that are free
    free_below = used - np.arange(len(used))  # how many free frames come before each used one
    return ranks + np.searchsorted(free_below, ranks, side="right")


def _path(start: int, steps: np.ndarray) -> np.ndarray:
    return start + np.concatenate([[0], np.cumsum(steps)])
