"""Draws: every random choice of the loader is a pure function of (seed, stage, step, slot).

Nothing is carried from one draw to the next, so nothing has to be saved: a run that was killed computes the same draws
again, and rank, world size and number of workers only decide who computes them. The generator is Philox, which is made
for this: it maps a key and a counter to a block of bits. The key holds (seed, stage); three words of the counter hold
step, slot and what is drawn, the fourth counts the numbers taken. Two different draws can therefore never overlap.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a generator is for; each purpose has a stream of its own."""

    SHAPE = 0  # number of views and aspect ratio of a step
    VIEWS = 1  # dataset, scene and views of a slot
    PIXELS = 2  # zoom and colour of a slot


@dataclass(frozen=True)
class DrawKey:
    """Names one draw.

    Attributes:
        seed: the run's seed, not negative.
        stage: `stage_number` of the stage's name.
        step: optimiser step of the stage, skipped steps included.
        slot: place in the step's list of scenes, see `slots`.
        attempt: 0; counts up when the draw before met data that cannot be read.
    """

    seed: int
    stage: int
    step: int
    slot: int = 0
    attempt: int = 0

    def generator(self, purpose: Purpose) -> np.random.Generator:
        """A fresh generator; the same key and purpose always give the same stream."""
        key = np.array([self.seed, self.stage], dtype=np.uint64)
        counter = np.array([0, self.step, self.slot, self.attempt * len(Purpose) + purpose], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))


@dataclass(frozen=True)
class StepShape:
    """What all ranks and micro-batches of a step have in common: S views of H x W pixels, B scenes on each rank."""

    views: int
    height: int
    width: int
    scenes: int


@dataclass(frozen=True)
class ShapeRanges:
    """From what the shape of a step is drawn.

    Attributes:
        views: smallest and largest number of views, both included.
        aspect: smallest and largest height / width.
        width: pixels, a multiple of `patch_size`.
        patch_size: the height is rounded down to a multiple of this.
        images_per_gpu: a rank gets max(1, images_per_gpu // views) scenes.
    """

    views: tuple[int, int]
    aspect: tuple[float, float]
    width: int
    patch_size: int
    images_per_gpu: int


def stage_number(name: str) -> int:
    """64-bit number of a stage's name, the same in every process and version of Python."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def height_for(aspect: float, width: int, patch_size: int) -> int:
    """Height in pixels for an aspect ratio height / width: rounded down to a multiple of the patch, at least one."""
    # 1e-9: 0.75 * 56 must give 42 whatever the rounding of the product.
    return max(1, int(aspect * width / patch_size + 1e-9)) * patch_size


def step_shape(seed: int, stage: int, step: int, ranges: ShapeRanges) -> StepShape:
    """Draw the shape of one step, equal on all ranks: views uniform over the integers of the range, aspect ratio uniform.

    The aspect ratio is rounded to two decimals inside its range, as published: only so do square images occur.
    """
    generator = DrawKey(seed, stage, step).generator(Purpose.SHAPE)
    views = int(generator.integers(ranges.views[0], ranges.views[1], endpoint=True))
    lowest, highest = ranges.aspect
    aspect = min(max(round(float(generator.uniform(lowest, highest)), 2), lowest), highest)
    height = height_for(aspect, ranges.width, ranges.patch_size)
    return StepShape(views, height, ranges.width, max(1, ranges.images_per_gpu // views))


def slots(micro: int, rank: int, world: int, scenes: int) -> range:
    """Slots of a rank in a micro-batch: (micro * world + rank) * scenes + i. Together they are 0, 1, 2, ... once."""
    first = (micro * world + rank) * scenes
    return range(first, first + scenes)
