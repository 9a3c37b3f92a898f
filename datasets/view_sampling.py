"""Which views of a scene make a sample: rules that map a scene's number of frames to positions of frames.

A rule is small, has no state and takes all randomness from the generator it is given. Positions count the frames that
the shards hold of the scene, from 0. Rules that need more than the number of frames (covisibility: the index's
neighbours) will get it when they are built, not when they sample.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class ViewSampler(Protocol):
    """A rule."""

    def sample(self, generator: np.random.Generator, frame_count: int, views: int) -> np.ndarray:
        """Positions of `views` frames, int64, each in 0 .. frame_count - 1. The first is the reference view."""


@dataclass(frozen=True)
class Intervals:
    """The common rule: a start, then random steps forward; in order ("video") or shuffled ("collection").

    A start that leaves fewer frames than views visits frames again (like a camera that comes back).

    Attributes:
        max_interval: longest step between neighbouring views, in frames.
        video_probability: share of samples that stay in order.
        fixed_interval_probability: share of videos with one constant step.
        block_shuffle: collections are shuffled inside blocks of this many views; None = over all views.
        frames_after_start: a start leaves at least this many frames, itself included; None = as many as views.
    """

    max_interval: int = 25
    video_probability: float = 0.5
    fixed_interval_probability: float = 0.5
    block_shuffle: int | None = None
    frames_after_start: int | None = None

    def sample(self, generator: np.random.Generator, frame_count: int, views: int) -> np.ndarray:
        """Positions of `views` frames; frames repeat only where the start leaves fewer frames than views."""
        left = min(views if self.frames_after_start is None else self.frames_after_start, frame_count)
        start = int(generator.integers(frame_count - left + 1))
        after = frame_count - 1 - start
        if views == 1 or after == views - 1:
            return np.arange(start, start + views)
        if after > views - 1:
            return self._forward(generator, start, frame_count, views)
        return self._revisiting(generator, start, frame_count, views)

    def _forward(self, generator: np.random.Generator, start: int, frame_count: int, views: int) -> np.ndarray:
        after = frame_count - 1 - start
        longest = min(self.max_interval, 2 * after // (views - 1))
        steps = generator.integers(1, longest, size=views - 1, endpoint=True)
        video = generator.random() < self.video_probability
        if video and generator.random() < self.fixed_interval_probability:
            steps[:] = generator.integers(1, min(after // (views - 1), longest), endpoint=True)
        positions = np.concatenate([[start], start + np.cumsum(steps)])
        positions = positions[positions < frame_count]
        unused = np.setdiff1d(np.arange(start, frame_count), positions)
        fill = generator.choice(unused, size=views - len(positions), replace=False)
        positions = np.concatenate([positions, fill])
        return np.sort(positions) if video else shuffle_blocks(generator, positions, self.block_shuffle)

    def _revisiting(self, generator: np.random.Generator, start: int, frame_count: int, views: int) -> np.ndarray:
        unique = min(frame_count, max(2, frame_count - 1 - start))
        if unique == 1:
            return np.zeros(views, np.int64)
        start = int(generator.integers(min(start, frame_count - unique), endpoint=True))
        longest = min(self.max_interval, (frame_count - 1 - start) // (unique - 1))
        steps = generator.integers(1, longest, size=unique - 1, endpoint=True)
        video = generator.random() < self.video_probability
        if video and generator.random() < self.fixed_interval_probability:
            steps[:] = generator.integers(1, longest, endpoint=True)
        positions = np.concatenate([[start], start + np.cumsum(steps)])
        way = generator.random()
        if way < 0.5 or self.video_probability >= 1.0:
            ordered = positions if video else shuffle_blocks(generator, positions, self.block_shuffle)
            return np.resize(ordered, views)
        drawn = generator.choice(positions, size=views, replace=True)
        return drawn if way < 0.9 else np.sort(drawn)


@dataclass(frozen=True)
class UnorderedSet:
    """Any frames of the scene in any order, each at most once; a scene with too few is gone through again and again."""

    def sample(self, generator: np.random.Generator, frame_count: int, views: int) -> np.ndarray:
        """Positions of `views` frames; no frame is taken n + 1 times before all were taken n times."""
        rounds = [generator.permutation(frame_count) for _ in range(-(-views // frame_count))]
        return np.concatenate(rounds)[:views]


@dataclass(frozen=True)
class Reversing:
    """Another rule, whose order is turned round with a probability (dynamic datasets: time runs backwards)."""

    rule: ViewSampler
    probability: float

    def sample(self, generator: np.random.Generator, frame_count: int, views: int) -> np.ndarray:
        """Positions of `views` frames as the inner rule gives them, perhaps last first."""
        positions = self.rule.sample(generator, frame_count, views)
        return positions[::-1].copy() if generator.random() < self.probability else positions


def shuffle_blocks(generator: np.random.Generator, positions: np.ndarray, block: int | None) -> np.ndarray:
    """Permute inside consecutive blocks of `block` entries; None permutes everything."""
    length = len(positions) if block is None else block
    blocks = [generator.permutation(positions[first : first + length]) for first in range(0, len(positions), length)]
    return np.concatenate(blocks)


def evenly_spaced(frame_count: int, views: int) -> np.ndarray:
    """Positions of `views` frames from the first to the last, as even as whole numbers allow: for validation."""
    return np.rint(np.linspace(0, frame_count - 1, views)).astype(np.int64)
