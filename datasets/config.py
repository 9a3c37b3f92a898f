"""What a user can say about data: one dataclass per block of conf/data/*.yaml, checked when it is made."""

import os
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from zipmap_pl.checks import expect, expect_between, expect_one_of, expect_range
from zipmap_pl.datasets.draws.draw import ShapeRanges
from zipmap_pl.datasets.format.schema import DEPTH_PERCENTILES
from zipmap_pl.datasets.loading.augmentation import COLOURS, AugmentationConfig
from zipmap_pl.datasets.remote.remote_files import RemoteConfig
from zipmap_pl.datasets.view_sampling.rule import ViewRule
from zipmap_pl.datasets.view_sampling.settings import check_common, make_rule, with_fields
from zipmap_pl.errors import UserError

SCENE_CHOICES = ("uniform", "by_frames", "by_starts")
READINGS = ("random", "sequential")
BATCH_KINDS = ("reconstruction", "state_query", "streaming")
MIN_FRAMES = 2


@dataclass
class DatasetConfig:
    """One dataset of a mixture.

    Attributes:
        path: folder of shards (the one that holds dataset.json), or its URL.
        weight: share of samples relative to the other datasets' weights; 0 leaves the dataset out.
        split: which of the dataset's splits.
        sampling: how the views of a scene are chosen: the name of a rule (`rule`), the rule's own fields, and `reverse`,
            the share of samples whose order is turned round. The files of `view_sampling/rules/` are the rules, their
            classes say what the fields mean.
        sampling_of: other fields of `sampling` for the scenes whose names a shell-style pattern fits; the first that fits.
        scenes: "uniform"; "by_frames": a scene with twice the frames is drawn twice as often; "by_starts": every frame
            that has min_frames frames from itself on is as likely a start as any other, also if that is fewer than views
            (frames are then visited again).
        min_frames: scenes with fewer frames are left out; None = as `DataConfig.min_frames` says.
        depth_percentile: depths above this percentile of the frame's valid depths are dropped; None = keep. One of
            those in the index: 0.1, 90, 95 to 99.
        min_depth_percentile: depths below this percentile are dropped; None = keep.
        max_depth: larger depths are dropped; metres where the dataset is metric, else its own raw unit; None = keep.
        max_depth_of: another max_depth for the scenes whose names a shell-style pattern fits; the first that fits.
        object_only: share of samples that keep the depth of the scene's object only; all views of a sample alike.
        normals: the depth is good enough for the normal loss.
    """

    path: str
    weight: float = 1.0
    split: str = "train"
    sampling: dict[str, Any] = field(default_factory=dict)
    sampling_of: dict[str, dict[str, Any]] = field(default_factory=dict)
    scenes: str = "uniform"
    min_frames: int | None = None
    depth_percentile: float | None = None
    min_depth_percentile: float | None = None
    max_depth: float | None = None
    max_depth_of: dict[str, float] = field(default_factory=dict)
    object_only: float = 0.0
    normals: bool = False

    def __post_init__(self) -> None:
        self.path = os.path.expanduser(self.path)
        where = f"data of {self.path}"
        expect_one_of(f"{where}: scenes", self.scenes, SCENE_CHOICES)
        for name in ("depth_percentile", "min_depth_percentile"):
            if getattr(self, name) is not None:
                expect_one_of(f"{where}: {name}", getattr(self, name), DEPTH_PERCENTILES)
        if self.min_frames is not None:
            expect_between(f"{where}: min_frames", self.min_frames, 1)
        weighs = 0 <= self.weight < float("inf")
        expect(weighs, f"{where}: weight", self.weight, "0 (leave the dataset out) or a positive number")
        expect_between(f"{where}: object_only", self.object_only, 0, 1)
        self.rule()
        self.rules_of()

    @property
    def least_frames(self) -> int:
        """Number of frames that a scene must have."""
        return MIN_FRAMES if self.min_frames is None else self.min_frames

    def rule(self) -> ViewRule:
        """The rule that this dataset's views are drawn by. Raises UserError for settings that make none."""
        return self._rule(self.sampling, "sampling")

    def rules_of(self) -> dict[str, ViewRule]:
        """The rules of scenes that have another one, by the pattern of their names. Raises UserError likewise."""
        return {
            pattern: self._rule({**self.sampling, **other}, f"sampling_of {pattern}")
            for pattern, other in self.sampling_of.items()
        }

    def _rule(self, settings: dict[str, Any], name: str) -> ViewRule:
        start_frames = self.least_frames if self.scenes == "by_starts" else None
        return make_rule(settings, f"data of {self.path}: {name}", start_frames)

    def max_depth_in(self, scene: str) -> float | None:
        """Largest depth that training may see in a scene, by its name; None = any."""
        fits = (limit for pattern, limit in self.max_depth_of.items() if fnmatchcase(scene, pattern))
        return next(fits, self.max_depth)


@dataclass
class ValidationConfig:
    """Fixed view sets, the same in every run, on any number of ranks.

    Attributes:
        views: of each set, spread evenly over the scene unless `positions` says otherwise.
        positions: frames of the scene, counted from 0; overrides `views`. Scenes that lack one of them are left out.
        aspect: height / width of the pictures.
        sets: at most so many scenes, spread evenly over all; None = all.
    """

    views: int = 8
    positions: list[int] | None = None
    aspect: float = 1.0
    sets: int | None = None

    def __post_init__(self) -> None:
        expect_between("validation data: views", self.views, 1)
        expect_between("validation data: aspect", self.aspect, 1e-6)
        if self.sets is not None:
            expect_between("validation data: sets", self.sets, 1)
        if self.positions is not None:
            holds = bool(self.positions) and min(self.positions) >= 0
            expect(holds, "validation data: positions", list(self.positions), "frame numbers from 0 on")


@dataclass
class DataConfig:
    """All that the data module is told.

    Attributes:
        train: the mixture, by any names, whose alphabetical order is part of the draws; empty where nothing is trained.
        validation: datasets of the fixed view sets, by any names; may be empty.
        also: more training datasets, name -> folder, for which a DatasetConfig of nothing else than the path will do.
        shards: folder or URL that holds the datasets of conf/data/zoo.
        allow_missing: go on without the datasets that are not there, instead of naming them and ending.
        batches: "reconstruction": views as drawn; "state_query": inputs to build the state from and targets to ask it
            for, see `state_query`; "streaming": one number of views, in the order of time.
        time_order: streaming batches sort the views of rules that draw them in any order; False: as drawn, as published.
        min_frames: scenes with fewer frames are left out, for datasets that do not say otherwise.
        sampling_of_all: fields of `sampling` for every training dataset, in each rule that has them, those among the choices
            of "one_of" included; they count more than `sampling` and less than `sampling_of`. With `rule` in it, it takes
            the place of both.
        width: of the model's images, a multiple of the model's patch size.
        aspect: smallest and largest height / width; the height is rounded down to a multiple of the patch.
        views: smallest and largest number of views of a step.
        images_per_gpu: a rank gets max(1, images_per_gpu // views) scenes in a micro-batch.
        zoom: smallest and largest narrowing of the field of view, per frame, drawn from a triangle that peaks at the
            smallest: 1 to 1.5 narrows by 1.17 on average, like the published chain of random crop and random scale.
        augmentation: of colours, in training.
        reading: "random": any frame of any shard at any time; "sequential": shards from their beginning to their end, see
            `sequential`.
        window: sequential reading chooses the views of a sample out of at most so many consecutive frames.
        buffer: so many windows of a dataset wait to be chosen, in each worker; 1 = in the order of the shards.
        workers: loader processes per rank; 0 = load in the training process.
        prefetch: batches that each worker prepares ahead.
        max_faults: a sample that meets unreadable data is replaced by another draw at most so often in a row.
        max_fault_share: the run stops, naming the worst files, when more of its draws than this share were replaced. A run
            that has drawn less than 1,000 samples is judged as if it had drawn so many.
        remote: how datasets behind a URL are read.
        validation_sets: which view sets validation looks at.
    """

    train: dict[str, DatasetConfig] = field(default_factory=dict)
    validation: dict[str, DatasetConfig] = field(default_factory=dict)
    also: dict[str, str] = field(default_factory=dict)
    shards: str = "shards"
    allow_missing: bool = False
    batches: str = "reconstruction"
    time_order: bool = True
    min_frames: int = MIN_FRAMES
    sampling_of_all: dict[str, Any] = field(default_factory=dict)
    width: int = 518
    aspect: list[float] = field(default_factory=lambda: [0.33, 1.0])
    views: list[int] = field(default_factory=lambda: [2, 48])
    images_per_gpu: int = 48
    zoom: list[float] = field(default_factory=lambda: [1.0, 1.5])
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    reading: str = "random"
    window: int = 64
    buffer: int = 16
    workers: int = 8
    prefetch: int = 2
    max_faults: int = 8
    max_fault_share: float = 0.05
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    validation_sets: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        self.shards = os.path.expanduser(self.shards)
        expect_range("data: views", self.views, 1)
        expect_range("data: aspect", self.aspect, 1e-6)
        expect_range("data: zoom", self.zoom, 1)
        expect_one_of("data: augmentation.colour", self.augmentation.colour, COLOURS)
        expect_one_of("data: batches", self.batches, BATCH_KINDS)
        expect_one_of("data: reading", self.reading, READINGS)
        if self.batches == "streaming" and self.views[0] != self.views[1]:
            raise UserError(f"data: views is {list(self.views)}, expected one number twice for streaming batches")
        if self.batches == "state_query" and self.views[0] < 2:
            raise UserError(f"data: views starts at {self.views[0]}, expected 2 or more for state_query batches")
        for name, least in (
            ("width", 1),
            ("images_per_gpu", 1),
            ("workers", 0),
            ("prefetch", 1),
            ("max_faults", 0),
            ("min_frames", 1),
            ("window", 1),
            ("buffer", 1),
        ):
            expect_between(f"data: {name}", getattr(self, name), least)
        expect_between("data: max_fault_share", self.max_fault_share, 0, 1)
        if self.views[1] > self.images_per_gpu:
            raise UserError(
                f"data: views goes up to {self.views[1]}, more than images_per_gpu = {self.images_per_gpu}; "
                "lower the one or raise the other"
            )

        for name in self.also.keys() & self.train.keys():
            raise UserError(f"data: also.{name} is {self.also[name]}, but train.{name} is there; choose another name")
        check_common(self.sampling_of_all, "data: sampling_of_all")
        also = {name: DatasetConfig(path) for name, path in self.also.items()}
        self.train = {name: self._sampled(self._completed(data)) for name, data in (self.train | also).items()}
        self.validation = {name: self._completed(dataset) for name, dataset in self.validation.items()}
        self.also = {}

    def _completed(self, dataset: DatasetConfig) -> DatasetConfig:
        return replace(dataset, min_frames=self.min_frames) if dataset.min_frames is None else dataset

    def _sampled(self, dataset: DatasetConfig) -> DatasetConfig:
        if not self.sampling_of_all:
            return dataset
        others = {} if "rule" in self.sampling_of_all else dataset.sampling_of  # those are fields of the dataset's rule
        return replace(dataset, sampling=with_fields(dataset.sampling, self.sampling_of_all), sampling_of=others)

    def is_trained_on(self, dataset: DatasetConfig) -> bool:
        """Return True if a training dataset draws from the same split of the same folder."""
        place = _place(dataset)
        return any(_place(other) == place for other in self.train.values() if other.weight > 0)

    def validated_scenes(self) -> str:
        """Name the scenes of validation: "held-out", "training", or "held-out and training"; "held-out" without any."""
        trained = {self.is_trained_on(dataset) for dataset in self.validation.values() if dataset.weight > 0}
        return {(): "held-out", (False,): "held-out", (True,): "training"}.get(tuple(trained), "held-out and training")

    def check_patch_size(self, patch_size: int) -> None:
        """Raise UserError if the model's patches do not fit into `width`."""
        if self.width % patch_size:
            raise UserError(
                f"data: width is {self.width}, expected a multiple of the model's patch_size = {patch_size}"
            )

    def shape_ranges(self, patch_size: int) -> ShapeRanges:
        """What the shape of a training step is drawn from."""
        self.check_patch_size(patch_size)
        views, aspect = (self.views[0], self.views[1]), (self.aspect[0], self.aspect[1])
        return ShapeRanges(views, aspect, self.width, patch_size, self.images_per_gpu)


def _place(dataset: DatasetConfig) -> tuple[str, str]:
    path = dataset.path if "://" in dataset.path else os.path.realpath(dataset.path)
    return path.rstrip("/"), dataset.split
