"""What a sample shows: a dataset by weight, a scene of it, views of the scene; all with replacement."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.format.schema import PARTS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.view_sampling.rule import SceneFrames, ViewRule
from zipmap_pl.errors import UserError


class SceneList:
    """The scenes of one dataset that may be drawn: those of its split with enough frames.

    Args:
        config: the dataset.
        index: its index.

    Raises:
        UserError: no such split, or no scene with enough frames.
    """

    def __init__(self, config: DatasetConfig, index: ShardIndex) -> None:
        self.config = config
        self.index = index
        self.rule, self._rules_of = config.rule(), config.rules_of()
        if config.split not in index.splits:
            raise UserError(f"{config.path}: no split {config.split!r}, expected one of {', '.join(index.splits)}")
        in_split = index["scene.split"] == index.splits.index(config.split)
        counts = np.asarray(index["scene.frame_count"])
        self.scenes = np.flatnonzero(in_split & (counts >= config.least_frames))
        self.left_out = int(in_split.sum()) - len(self.scenes)
        if len(self.scenes) == 0:
            longest = int(counts[in_split].max(initial=0))
            raise UserError(
                f"{config.path}: no scene of split {config.split!r} has min_frames = {config.least_frames} frames, "
                f"the longest has {longest}; lower min_frames or leave the dataset out"
            )
        self.frame_counts = counts[self.scenes].astype(np.int64)
        self._chances = np.cumsum(self._chance_of_each())
        self._check_object_masks()

    @property
    def slug(self) -> str:
        """The dataset's short name."""
        return self.index.info["slug"]

    def draw_scene(self, generator: np.random.Generator) -> int:
        """A place in `scenes`, as `DatasetConfig.scenes` says."""
        return int(np.searchsorted(self._chances, generator.integers(self._chances[-1]), side="right"))

    def draw_views(self, generator: np.random.Generator, place: int, views: int) -> np.ndarray:
        """[views] int64 frames of the scene at a place of `scenes`, by its rule."""
        scene = int(self.scenes[place])
        return self.rule_of(scene).draw(generator, SceneFrames.of_index(self.index, scene), views)

    def rule_of(self, scene: int) -> ViewRule:
        """The rule that the views of a scene of the index are drawn by."""
        if not self._rules_of:
            return self.rule
        name = self.index.text("scene.name", scene)
        return next((rule for pattern, rule in self._rules_of.items() if fnmatchcase(name, pattern)), self.rule)

    def _check_object_masks(self) -> None:
        """If samples are to keep their object only, the shards say what that is; the first frame of each scene tells."""
        first_rows = self.index["scene.first_frame"][self.scenes]
        if self.config.object_only and not self.index["frame.part_length"][first_rows, PARTS.index("object")].all():
            raise UserError(
                f"{self.config.path}: object_only is {self.config.object_only:g}, but there are scenes without object masks"
                " in these shards; set object_only to 0"
            )

    def _chance_of_each(self) -> np.ndarray:
        """[number of scenes] int64, relative."""
        if self.config.scenes == "by_frames":
            return self.frame_counts
        if self.config.scenes == "by_starts":
            return self.frame_counts - self.config.least_frames + 1
        return np.ones_like(self.frame_counts)


@dataclass(frozen=True)
class Pick:
    """Views of one scene.

    Attributes:
        dataset: place in the mixture.
        scene: row of the scene in the dataset's index.
        positions: [S] int64, rows counted from the scene's first frame.
        input_count, targets: of a state-query sample, see `Batch`.
    """

    dataset: int
    scene: int
    positions: np.ndarray
    input_count: int | None = None
    targets: np.ndarray | None = None


class Mixture:
    """Datasets by weight."""

    def __init__(self, datasets: Sequence[SceneList]) -> None:
        self.datasets = list(datasets)
        weights = np.array([dataset.config.weight for dataset in self.datasets], np.float64)
        self.shares = weights / weights.sum()
        self._bounds = np.cumsum(self.shares)

    def draw(self, generator: np.random.Generator, views: int) -> Pick:
        """A sample of `views` views; a pure function of the generator's state."""
        number = self.draw_dataset(generator)
        dataset = self.datasets[number]
        place = dataset.draw_scene(generator)
        return Pick(number, int(dataset.scenes[place]), dataset.draw_views(generator, place, views))

    def draw_dataset(self, generator: np.random.Generator) -> int:
        """A place in `datasets`, by weight."""
        drawn = int(np.searchsorted(self._bounds, generator.random(), side="right"))
        return min(drawn, len(self.datasets) - 1)
