"""From a request to arrays: the map-style datasets that run in the loader's workers, and how samples become a batch."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, ValidationConfig
from zipmap_pl.datasets.draws.draw import DrawKey, Purpose, height_for, stage_number
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.draws.state_query import split_views
from zipmap_pl.datasets.draws.step_batches import TrainRequest, ValidationRequest
from zipmap_pl.datasets.format.depth_coding import SKY, UNKNOWN, depth_table
from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader, OpenFiles, depth_limits
from zipmap_pl.datasets.loading.augmentation import augment
from zipmap_pl.datasets.loading.faults import TooManyFaults
from zipmap_pl.datasets.loading.last_samples import LastSamples
from zipmap_pl.datasets.loading.mixture import Mixture, Pick, SceneList
from zipmap_pl.datasets.remote.remote_files import RemoteConfig, RemoteFiles
from zipmap_pl.datasets.view_sampling.order import evenly_spaced, in_time_order
from zipmap_pl.geometry.exact_cameras import intrinsics_matrix
from zipmap_pl.images.crop import Crop, plan_crop
from zipmap_pl.images.resample import SPARSE, resize_image, resize_nearest, resize_sparse


@dataclass
class Sample:
    """One scene of a batch; the fields are those of `Batch` without the first axis."""

    images: np.ndarray
    depth: np.ndarray
    world_to_cam: np.ndarray
    intrinsics: np.ndarray
    normals: bool
    dataset: str
    scene: str
    frames: np.ndarray
    input_count: int | None = None
    targets: np.ndarray | None = None
    number: int = 0
    repeat: bool = False
    faults: list[str] = field(default_factory=list)


class SampleReader:
    """Reads picked views at the network's size, with one reader for each dataset."""

    def __init__(self, datasets: Sequence[SceneList], readers: Sequence[FrameReader]) -> None:
        self.datasets, self._readers = list(datasets), list(readers)

    def read(self, pick: Pick, target: tuple[int, int], zooms: np.ndarray, object_only: bool = False) -> Sample:
        """The sample of a pick. Raises DamagedShard.

        Args:
            pick: S views.
            target: height, width.
            zooms: [S], see `crop.plan_crop`.
            object_only: keep the depth of the scene's one object only; the picture stays.
        """
        dataset, reader = self.datasets[pick.dataset], self._readers[pick.dataset]
        config, index = dataset.config, dataset.index
        views = len(pick.positions)
        images = np.empty((views, *target, 3), np.uint8)
        depth = np.empty((views, *target), np.float32)
        world_to_cam = np.empty((views, 3, 4), np.float64)
        intrinsics = np.empty((views, 3, 3), np.float64)
        rows = index.scene_rows(pick.scene)
        name = index.text("scene.name", pick.scene)
        max_depth = config.max_depth_in(name)
        reader.fetch([rows[int(position)] for position in pick.positions])
        for view, position in enumerate(pick.positions):
            row = rows[int(position)]
            crop = self._crop(reader, row, target, float(zooms[view]))
            picture, reduction = reader.picture(row, crop.reduction)
            images[view] = resize_image(picture, crop.of_reduced(reduction))
            limits = depth_limits(index, row, config.min_depth_percentile, config.depth_percentile, max_depth)
            read_depth(reader, row, crop, limits, out=depth[view])
            if object_only:
                drop_background(reader, row, crop, depth[view])
            world_to_cam[view] = index["frame.world_to_cam"][row]
            intrinsics[view] = intrinsics_matrix(crop.intrinsics(index["frame.intrinsics"][row]))
        sample = Sample(images, depth, world_to_cam, intrinsics, config.normals, dataset.slug, name, pick.positions)
        sample.input_count, sample.targets = pick.input_count, pick.targets
        return sample

    def _crop(self, reader: FrameReader, row: int, target: tuple[int, int], zoom: float) -> Crop:
        height, width = (int(side) for side in reader.index["frame.size"][row])
        try:
            return plan_crop((height, width), reader.index["frame.intrinsics"][row], target, zoom)
        except ValueError as error:
            raise reader.fault(row, str(error)) from error


def read_depth(reader: FrameReader, row: int, crop: Crop, limits: tuple[float, float], out: np.ndarray) -> None:
    """A frame's depth [height, width] float32 at the crop's size into `out`, 0 outside of the limits.

    The codes are resized, and only what is left of them is turned into depths.
    """
    codes = reader.depth_codes(row)
    near, far = (float(depth) for depth in reader.index["frame.depth_range"][row])
    sparse = float(reader.index["frame.valid_share"][row]) < SPARSE
    resized = resize_sparse(np.where(codes == SKY, UNKNOWN, codes), crop) if sparse else resize_nearest(codes, crop)
    np.take(depth_table(near, far, limits), resized, out=out, mode="clip")  # other modes would make a copy of `out`


def drop_background(reader: FrameReader, row: int, crop: Crop, depth: np.ndarray) -> None:
    """Depth [height, width] at the crop's size becomes 0 wherever the scene's one object is not."""
    mask = reader.object(row)
    if mask is None:
        raise reader.fault(row, "has no object mask")
    depth[~resize_nearest(mask, crop)] = 0


def frame_readers(datasets: Sequence[SceneList], remote: RemoteConfig) -> list[FrameReader]:
    """Readers of any frame of the datasets, which share what they hold open."""
    near, far = OpenFiles(), RemoteFiles(remote)
    return [FrameReader(dataset.index, far if dataset.index.remote else near) for dataset in datasets]


class TrainSamples(Dataset[Sample]):
    """Drawn samples. An item is a pure function of the request and the data on disk: no state, no order.

    A draw that meets unreadable data is replaced by the next draw of the same slot, and named in the sample's `faults`;
    after `max_faults` of them in a row it is an error.

    Args:
        config: all settings.
        run: whose draws these are.
        datasets: the mixture.
        readers: of the datasets, if they are not to read shards at random.
        last: where workers note what they are at.
    """

    def __init__(
        self,
        config: DataConfig,
        run: RunFacts,
        datasets: Sequence[SceneList],
        readers: Sequence[FrameReader] | None = None,
        last: LastSamples | None = None,
    ) -> None:
        self.config, self.seed, self.stage = config, run.seed, stage_number(run.stage)
        self.last = last or LastSamples(0)
        self.mixture = Mixture(datasets)
        self.reader = SampleReader(datasets, readers or frame_readers(datasets, config.remote))

    def __getitem__(self, request: TrainRequest) -> Sample:
        faults: list[str] = []
        while True:
            try:
                pick = self.pick(request, len(faults))
                self.last.note(request.step, request.slot, pick.dataset, pick.scene)
                sample = self.read(pick, request, len(faults))
            except DamagedShard as fault:
                faults.append(str(fault))
                if len(faults) > self.config.max_faults:
                    raise TooManyFaults(
                        f"{len(faults)} samples in a row cannot be read, the last one: {fault}"
                    ) from fault
            else:
                sample.number, sample.faults = request.number, faults
                return sample

    def pick(self, request: TrainRequest, attempt: int = 0) -> Pick:
        """Which views a request shows, without reading them."""
        generator = self._key(request, attempt).generator(Purpose.VIEWS)
        return arranged(self.mixture.draw(generator, request.views), self.config, generator)

    def _key(self, request: TrainRequest, attempt: int) -> DrawKey:
        return DrawKey(self.seed, self.stage, request.step, request.slot, attempt)

    def read(self, pick: Pick, request: TrainRequest, attempt: int = 0) -> Sample:
        """What a request shows, with its zoom and colours. Raises DamagedShard."""
        generator = self._key(request, attempt).generator(Purpose.PIXELS)
        zooms = self._zooms(generator, request.views)
        share = self.reader.datasets[pick.dataset].config.object_only
        object_only = share > 0 and bool(generator.random() < share)
        sample = self.reader.read(pick, (request.height, request.width), zooms, object_only)
        sample.images = augment(sample.images, self.config.augmentation, generator)
        return sample

    def _zooms(self, generator: np.random.Generator, views: int) -> np.ndarray:
        least, most = self.config.zoom
        return generator.triangular(least, least, most, size=views) if most > least else np.full(views, float(least))


class ValidationSamples(Dataset[Sample]):
    """Fixed view sets: one per scene, no zoom, no change of colours. A set that cannot be read is an error."""

    def __init__(self, config: DataConfig, run: RunFacts, datasets: Sequence[SceneList]) -> None:
        sets = config.validation_sets
        config.check_patch_size(run.patch_size)
        self.target = (height_for(sets.aspect, config.width, run.patch_size), config.width)
        fixed = DrawKey(seed=0, stage=0, step=0).generator(Purpose.VIEWS)
        self.picks = [arranged(pick, config, fixed) for pick in validation_picks(sets, datasets)]
        self.reader = SampleReader(datasets, frame_readers(datasets, config.remote))

    def __getitem__(self, request: ValidationRequest) -> Sample:
        pick = self.picks[request.view_set]
        sample = self.reader.read(pick, self.target, np.ones(len(pick.positions)))
        sample.repeat = request.repeat
        return sample

    def __len__(self) -> int:
        return len(self.picks)


def arranged(pick: Pick, config: DataConfig, generator: np.random.Generator) -> Pick:
    """The pick as the stage's kind of batches has its views: split, in the order of time, or as drawn."""
    if config.batches == "streaming":
        return replace(pick, positions=in_time_order(pick.positions)) if config.time_order else pick
    views = len(pick.positions)
    if config.batches == "state_query" and views > 1:
        scenes = max(1, config.images_per_gpu // views)
        split = split_views(generator, views, config.images_per_gpu // scenes)
        return replace(pick, positions=pick.positions[split.order], input_count=split.inputs, targets=split.targets)
    return pick


def validation_picks(config: ValidationConfig, datasets: Sequence[SceneList]) -> list[Pick]:
    """The view sets, in the order of datasets and scenes."""
    picks = []
    for number, dataset in enumerate(datasets):
        for scene, frame_count in zip(dataset.scenes, dataset.frame_counts, strict=True):
            if config.positions is None:
                positions = evenly_spaced(int(frame_count), config.views)
            elif max(config.positions) < frame_count:
                positions = np.array(config.positions, np.int64)
            else:
                continue
            picks.append(Pick(number, int(scene), positions))
    if config.sets is not None and config.sets < len(picks):
        picks = [picks[place] for place in evenly_spaced(len(picks), config.sets)]
    return picks


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples; pictures stay uint8, their channels move to the front.

    In a worker the large fields are written straight to the memory that it shares with the trainer.
    """
    views, height, width = samples[0].depth.shape
    depth = _room(torch.float32, len(samples), views, height, width)
    images = _room(torch.uint8, len(samples), views, 3, height, width)
    for place, sample in enumerate(samples):
        np.copyto(depth[place].numpy(), sample.depth)
        np.copyto(images[place].numpy(), sample.images.transpose(0, 3, 1, 2))
    repeat = torch.tensor([sample.repeat for sample in samples])
    targets = [sample.targets for sample in samples if sample.targets is not None]
    return Batch(
        images=images,
        depth=depth,
        mask=torch.gt(depth, 0, out=_room(torch.bool, *depth.shape)),
        world_to_cam=torch.from_numpy(np.stack([sample.world_to_cam for sample in samples]).astype(np.float32)),
        intrinsics=torch.from_numpy(np.stack([sample.intrinsics for sample in samples]).astype(np.float32)),
        normals=torch.tensor([sample.normals for sample in samples]),
        dataset=[sample.dataset for sample in samples],
        scene=[sample.scene for sample in samples],
        frames=torch.from_numpy(np.stack([sample.frames for sample in samples])),
        input_count=samples[0].input_count,
        targets=torch.from_numpy(np.stack(targets)) if targets else None,
        number=samples[0].number,
        repeat=repeat if bool(repeat.any()) else None,
        faults=[fault for sample in samples for fault in sample.faults],
    )


def _room(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """An unwritten tensor; shared with other processes if this one is a worker, which saves a copy when it is sent."""
    room = torch.empty(shape, dtype=dtype)
    return room if get_worker_info() is None else room.share_memory_()


def start_worker(_worker: int) -> None:
    """First thing in a loader's worker: one thread, because there is a worker per core already; signals are the trainer's.

    Terminals and SLURM send Ctrl-C, SIGTERM and the warning SIGUSR1 to the whole process group. torch blames a bus error on
    shared memory, before it is known whether an index was cut: the trainer finds out.
    """
    cv2.setNumThreads(0)
    os.setpgid(0, 0)
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
