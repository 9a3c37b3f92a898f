"""The rule `unordered`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.rule import SceneFrames


@dataclass(frozen=True)
class UnorderedSet:
    """Any frames of the scene in any order.

    Attributes:
        replacement: a frame may be drawn again (the published rule of Co3D). Without: each at most once; a scene with
            too few frames is gone through again and again.
    """

    replacement: bool = False

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """Without replacement no frame is taken n + 1 times before all were taken n times."""
        if self.replacement:
            return rng.integers(scene.frame_count, size=count)
        if count <= scene.frame_count:
            return rng.choice(scene.frame_count, size=count, replace=False)
        rounds = [rng.permutation(scene.frame_count) for _ in range(-(-count // scene.frame_count))]
        return np.concatenate(rounds)[:count]


RULE = UnorderedSet
