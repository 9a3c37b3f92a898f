"""Walks forward through a scene: what the rules of videos and of shuffled collections have in common."""

import numpy as np


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


def path_of(start: int, steps: np.ndarray) -> np.ndarray:
    """[steps + 1] frames: the start, then one step after the other."""
    return start + np.concatenate([[0], np.cumsum(steps)])
