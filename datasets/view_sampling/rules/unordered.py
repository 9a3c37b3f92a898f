"""Rules for views without an order in time."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.scene import Scene, expect


@dataclass(frozen=True)
class UnorderedSet:
    """Any frames of the scene in any order.

    Attributes:
        replacement: a frame may be drawn again (the published rule of Co3D). Without: each at most once; a scene with
            too few frames is gone through again and again.
    """

    replacement: bool = False

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """Without replacement no frame is taken n + 1 times before all were taken n times."""
        if self.replacement:
            return rng.integers(scene.frame_count, size=count)
        if count <= scene.frame_count:
            return rng.choice(scene.frame_count, size=count, replace=False)
        rounds = [rng.permutation(scene.frame_count) for _ in range(-(-count // scene.frame_count))]
        return np.concatenate(rounds)[:count]


@dataclass(frozen=True)
class NearbyWindow:
    """An anchor, then frames within a window around it, with replacement (the published rule of Virtual KITTI).

    Attributes:
        reach: the window reaches `reach` times the number of views to either side, cut off at the scene's ends.
    """

    reach: int = 8

    def __post_init__(self) -> None:
        expect(self.reach >= 1, "reach", self.reach, "1 or more")

    def draw(self, rng: np.random.Generator, scene: Scene, count: int) -> np.ndarray:
        """The anchor comes first; frames may repeat."""
        anchor = int(rng.integers(scene.frame_count))
        first, last = max(0, anchor - self.reach * count), min(scene.frame_count - 1, anchor + self.reach * count)
        return np.concatenate([[anchor], rng.integers(first, last, size=count - 1, endpoint=True)])


def evenly_spaced(frame_count: int, count: int) -> np.ndarray:
    """[count] int64 from the first frame to the last, as even as whole numbers allow: for validation."""
    return np.rint(np.linspace(0, frame_count - 1, count)).astype(np.int64)
