"""Rules made of rules."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.rule import SceneFrames, ViewRule, expect, expect_probability


@dataclass(frozen=True)
class Reversed:
    """Another rule, whose order is turned round with a probability: in dynamic scenes time runs backwards too."""

    rule: ViewRule
    probability: float

    def __post_init__(self) -> None:
        expect_probability("reverse", self.probability)

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """What the inner rule gives, perhaps last first."""
        frames = self.rule.draw(rng, scene, count)
        return frames[::-1].copy() if rng.random() < self.probability else frames


@dataclass(frozen=True)
class OneOf:
    """One of several rules, drawn for every sample by its share."""

    rules: tuple[ViewRule, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        expect(all(share > 0 for share in self.shares), "share", list(self.shares), "positive numbers")

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """What the drawn rule gives."""
        bounds = np.cumsum(self.shares)
        place = int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))
        return self.rules[min(place, len(self.rules) - 1)].draw(rng, scene, count)
