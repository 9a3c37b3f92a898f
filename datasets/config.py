"""What a user can say about data: one dataclass per block of conf/data/*.yaml, checked when it is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from zipmap_pl.datasets.augmentation import COLOURS, AugmentationConfig
from zipmap_pl.datasets.draws import ShapeRanges
from zipmap_pl.datasets.schema import DEPTH_PERCENTILES
from zipmap_pl.datasets.view_sampling import Intervals, Reversing, UnorderedSet, ViewSampler
from zipmap_pl.errors import UserError

RULES = ("intervals", "unordered")
SCENE_CHOICES = ("uniform", "by_frames")


@dataclass
class DatasetConfig:
    """One dataset of a mixture.

    Attributes:
        path: folder of shards (the one that holds dataset.json).
        weight: share of samples relative to the other datasets' weights.
        split: which of the dataset's splits.
        rule: "intervals" (ordered frames: videos and shuffled stretches of them) or "unordered" (any frames of the
            scene).
        max_interval, video_probability, fixed_interval_probability, block_shuffle: see `view_sampling.Intervals`.
        late_starts: a start may leave fewer frames than views (at least `min_frames`); frames are then visited again.
        reverse_probability: share of samples whose order is turned round.
        scenes: "uniform", or "by_frames": a scene with twice the frames is drawn twice as often.
        min_frames: scenes with fewer frames are left out.
        depth_percentile: depths above this percentile of the frame's valid depths are dropped; None = keep. One of
            those in the index: 0.1, 90, 95 to 99.
        min_depth_percentile: depths below this percentile are dropped; None = keep.
        max_depth: larger depths are dropped; metres where the dataset is metric, else its own raw unit; None = keep.
        normals: the depth is good enough for the normal loss.
    """

    path: str
    weight: float = 1.0
    split: str = "train"
    rule: str = "intervals"
    max_interval: int = 25
    video_probability: float = 0.5
    fixed_interval_probability: float = 0.5
    block_shuffle: int | None = None
    late_starts: bool = False
    reverse_probability: float = 0.0
    scenes: str = "uniform"
    min_frames: int = 2
    depth_percentile: float | None = None
    min_depth_percentile: float | None = None
    max_depth: float | None = None
    normals: bool = False

    def __post_init__(self) -> None:
        where = f"data of {self.path}"
        _one_of(where, "rule", self.rule, RULES)
        _one_of(where, "scenes", self.scenes, SCENE_CHOICES)
        for name in ("depth_percentile", "min_depth_percentile"):
            if getattr(self, name) is not None:
                _one_of(where, name, getattr(self, name), DEPTH_PERCENTILES)
        for name in ("video_probability", "fixed_interval_probability", "reverse_probability"):
            _between(where, name, getattr(self, name), 0, 1)
        for name in ("max_interval", "min_frames") + (("block_shuffle",) if self.block_shuffle is not None else ()):
            _between(where, name, getattr(self, name), 1, float("inf"))
        if not 0 < self.weight < float("inf"):
            raise UserError(
                f"{where}: weight is {self.weight}, expected a positive number; remove the dataset to leave it out"
            )

    def view_sampler(self) -> ViewSampler:
        """The rule that this dataset's views are drawn by."""
        sampler: ViewSampler = UnorderedSet()
        if self.rule == "intervals":
            sampler = Intervals(
                self.max_interval,
                self.video_probability,
                self.fixed_interval_probability,
                self.block_shuffle,
                self.min_frames if self.late_starts else None,
            )
        return Reversing(sampler, self.reverse_probability) if self.reverse_probability > 0 else sampler


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
        _between("validation data", "views", self.views, 1, float("inf"))
        _between("validation data", "aspect", self.aspect, 1e-6, float("inf"))
        if self.sets is not None:
            _between("validation data", "sets", self.sets, 1, float("inf"))
        if self.positions is not None and (not self.positions or min(self.positions) < 0):
            raise UserError(f"validation data: positions is {list(self.positions)}, expected frame numbers from 0 on")


@dataclass
class DataConfig:
    """All that the data module is told.

    Attributes:
        train: the mixture, by any names, whose alphabetical order is part of the draws; empty where nothing is trained.
        validation: datasets of the fixed view sets, by any names; may be empty.
        stage: name of the stage; another name gives other draws.
        seed: of all draws.
        width: of the network's pictures, a multiple of `patch_size`.
        patch_size: of the network.
        aspect: smallest and largest height / width; the height is rounded down to a multiple of the patch.
        views: smallest and largest number of views of a step.
        images_per_gpu: a rank gets max(1, images_per_gpu // views) scenes in a micro-batch.
        zoom: smallest and largest narrowing of the field of view, per frame, drawn from a triangle that peaks at the
            smallest: 1 to 1.5 narrows by 1.17 on average, like the published chain of random crop and random scale.
        augmentation: of colours, in training.
        workers: loader processes per rank; 0 = load in the training process.
        prefetch: batches that each worker prepares ahead.
        max_faults: a sample that meets unreadable data is replaced by another draw at most so often in a row.
        validation_sets: which view sets validation looks at.
    """

    train: dict[str, DatasetConfig] = field(default_factory=dict)
    validation: dict[str, DatasetConfig] = field(default_factory=dict)
    stage: str = "static"
    seed: int = 42
    width: int = 518
    patch_size: int = 14
    aspect: list[float] = field(default_factory=lambda: [0.33, 1.0])
    views: list[int] = field(default_factory=lambda: [2, 48])
    images_per_gpu: int = 48
    zoom: list[float] = field(default_factory=lambda: [1.0, 1.5])
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    workers: int = 8
    prefetch: int = 2
    max_faults: int = 8
    validation_sets: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        _range("views", self.views, 1)
        _range("aspect", self.aspect, 1e-6)
        _range("zoom", self.zoom, 1)
        _one_of("data", "augmentation.colour", self.augmentation.colour, COLOURS)
        for name, least in (
            ("patch_size", 1),
            ("images_per_gpu", 1),
            ("workers", 0),
            ("prefetch", 1),
            ("seed", 0),
            ("max_faults", 0),
        ):
            _between("data", name, getattr(self, name), least, float("inf"))
        if self.width < self.patch_size or self.width % self.patch_size:
            raise UserError(f"data: width is {self.width}, expected a multiple of patch_size = {self.patch_size}")
        if self.views[1] > self.images_per_gpu:
            raise UserError(
                f"data: views goes up to {self.views[1]}, more than images_per_gpu = {self.images_per_gpu}; "
                "lower the one or raise the other"
            )

    def shape_ranges(self) -> ShapeRanges:
        """What the shape of a training step is drawn from."""
        views, aspect = (self.views[0], self.views[1]), (self.aspect[0], self.aspect[1])
        return ShapeRanges(views, aspect, self.width, self.patch_size, self.images_per_gpu)


def _one_of(where: str, name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise UserError(f"{where}: {name} is {value!r}, expected one of {', '.join(map(str, allowed))}")


def _between(where: str, name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UserError(
            f"{where}: {name} is {value}, expected at least {least:g}"
            + (f" and at most {most:g}" if most < float("inf") else "")
        )


def _range(name: str, value: Sequence[float], least: float) -> None:
    if len(value) != 2 or not least <= value[0] <= value[1]:
        raise UserError(
            f"data: {name} is {list(value)}, expected [smallest, largest] with {least:g} <= smallest <= largest"
        )
