"""The rule `revisits`."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.view_sampling.rule import SceneFrames
from zipmap_pl.datasets.view_sampling.walks import path_of, shuffle_blocks


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

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """Frames of a walk that starts anywhere and stays in one stream, each perhaps several times."""
        stream = scene.draw_stream(rng)
        return stream.start + self.draw_from(rng, len(stream), count, int(rng.integers(len(stream))))

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
        path = path_of(start, steps)
        way = rng.random()
        if way < 0.5 or self.video >= 1:
            return np.resize(path if video else shuffle_blocks(rng, path, self.block), count)
        drawn = rng.choice(path, size=count)
        return drawn if way < 0.9 else np.sort(drawn)


RULE = Revisits
