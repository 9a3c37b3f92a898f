"""The rule `video_or_collection`, the default."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect, expect_probability
from zipmap_pl.datasets.view_sampling.rules.revisits import Revisits
from zipmap_pl.datasets.view_sampling.walks import path_of, shuffle_blocks, unused


@dataclass(frozen=True)
class VideoOrCollection:
    """The published common sampler: a start, then random steps forward; in order ("video") or shuffled ("collection").

    Steps are uniform in `min` .. `max`, but at most twice what would just fit into the frames after the start. Views
    that fall behind the scene's end are replaced by unused frames after the start. A start that leaves as many frames
    as views takes them all in order; one that leaves fewer visits frames again (`Revisits`). All frames are of one stream of
    the scene, drawn by its number of frames.

    Attributes:
        min, max: shortest and longest step between neighbouring views, in frames.
        video: share of samples that stay in order.
        constant: share of videos with one constant step.
        block: collections are permuted inside blocks of this many views; None = over all views.
        start_frames: a start leaves at least this many frames, itself included; None = as `start_share` says.
        start_share: a start leaves at least this share of the views, and 3; 1 = room for all views.
        other_stream: of the streams that a random frame is not in (published for ScanNet++, where that frame is the one
            that the sample's group would be made for).
    """

    min: int = 1
    max: int = 25
    video: float = 0.5
    constant: float = 0.5
    block: int | None = None
    start_frames: int | None = None
    start_share: float = 1.0
    other_stream: bool = False

    def __post_init__(self) -> None:
        expect(1 <= self.min <= self.max, "[min, max]", [self.min, self.max], "1 <= min <= max")
        expect_probability("video", self.video)
        expect_probability("constant", self.constant)
        expect(self.block is None or self.block >= 1, "block", self.block, "1 or more")
        expect(self.start_frames is None or self.start_frames >= 1, "start_frames", self.start_frames, "1 or more")
        expect(0 < self.start_share <= 1, "start_share", self.start_share, "above 0 and at most 1")

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """Frames of one stream; they repeat only where the start leaves fewer than `count`."""
        stream = scene.draw_stream(rng, self.other_stream)
        return stream.start + self._draw(rng, len(stream), count)

    def _draw(self, rng: np.random.Generator, frame_count: int, count: int) -> np.ndarray:
        start = int(rng.integers(frame_count - min(self._room(count), frame_count) + 1))
        left = frame_count - start
        if count in (1, left):
            return np.arange(start, start + count)
        if left < count:
            again = Revisits(self.min, self.max, self.video, self.constant, self.block)
            return again.draw_from(rng, frame_count, count, start)
        steps = self._steps(rng, left - 1, count)
        video = rng.random() < self.video
        if video and rng.random() < self.constant:
            longest = min((left - 1) // (count - 1), self._longest(left - 1, count))
            steps[:] = rng.integers(min(self.min, longest), longest, endpoint=True)
        path = path_of(start, steps)
        path = path[path < frame_count]
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


RULE = VideoOrCollection
