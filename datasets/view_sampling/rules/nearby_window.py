"""The rule `nearby_window`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.rule import SceneFrames, expect


@dataclass(frozen=True)
class NearbyWindow:
    """An anchor, then frames within a window around it, with replacement (the published rule of Virtual KITTI).

    Attributes:
        reach: the window reaches `reach` times the number of views to either side, its last frame excluded, as
            published; it is cut off at the ends of the anchor's stream.
    """

    reach: int = 8

    def __post_init__(self) -> None:
        expect(self.reach >= 1, "reach", self.reach, "1 or more")

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """The anchor comes first; frames may repeat."""
        anchor = int(rng.integers(scene.frame_count))
        stream = scene.stream_at(anchor)
        first, end = max(stream.start, anchor - self.reach * count), min(stream.stop, anchor + self.reach * count)
        return np.concatenate([[anchor], rng.integers(first, end, size=count - 1)])


RULE = NearbyWindow
