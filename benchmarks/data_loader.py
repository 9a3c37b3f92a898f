"""The loader against bare decoding and against loose files: CPU time per view."""

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import loose_files
import numpy as np
from checks import Check, at_most, ratio, say

from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.format.depth_coding import depth_table, read_codes
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig
from zipmap_pl.datasets.loading.samples import SampleReader
from zipmap_pl.images.crop import Crop
from zipmap_pl.images.decode import read_image
from zipmap_pl.images.resample import resize_image, resize_nearest
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions, list_frames

BARE_SHARE, PLAIN_TIMES, COLOUR_TIMES, WORKER_LIMIT = 0.75, 3.0, 8.0, 1.25

SEQUENCES = {
    "redkitchen": ("sevenscenes_redkitchen", {}),
    "livingroom": (
        "livingroom_open3d",
        {
            "color": "image/*.jpg",
            "depth": "depth/*.png",
            "poses": "trajectory.log",
            "intrinsics": "525,525,319.5,239.5",
        },
    ),
    "hololens": (
        "hololens_dvmvs",
        {"color": "images/*.png", "depth": "depth/*.png", "poses": "poses.txt", "pixel_origin": "centre"},
    ),
    "hospital": (
        "tartanair_raw",
        {
            "color": "image_left/*_left.png",
            "depth": "depth_left/*_left_depth.npy",
            "poses": "pose_left.txt",
            "intrinsics": "320,320,320,240",
            "axes": "ned",
        },
    ),
}


def loader(args: argparse.Namespace, folder: Path) -> list[Check]:
    """CPU time per view: bare decoding, our loader, and the published way from loose files."""
    readers = {
        name: RgbdFolder(args.data / raw, RgbdOptions(name, **options)) for name, (raw, options) in SEQUENCES.items()
    }
    readers = {name: reader for name, reader in readers.items() if reader.raw.is_dir()}
    if not readers:
        sys.exit(f"{args.data}: none of {', '.join(raw for raw, _ in SEQUENCES.values())} is there")
    for name, reader in readers.items():
        preprocess(reader, folder / name, EngineSettings(), workers=1)
    plain = loader_config(folder, readers, "none")
    colour = loader_config(folder, readers, "jitter")
    frames, batches = drawn_frames(plain, args.batches)
    loose = [loose_samples(readers, batch) for batch in batches]
    plain_module, colour_module = (ZooDataModule(config, total_steps=args.batches) for config in (plain, colour))
    ways: dict[str, tuple[Callable[[], None], int]] = {
        "bare": (lambda: bare_loop(frames), len(frames)),
        "ours": (lambda: drain(plain_module), len(frames)),
        "ours, colour": (lambda: drain(colour_module), len(frames)),
        "loose": (lambda: published(loose, jitter=False), views_of(loose)),
        "loose, colour": (lambda: published(loose, jitter=True), views_of(loose)),
    }
    milliseconds = fastest(ways, args.rounds)
    for name, value in milliseconds.items():
        say(f"{name}: {value:.2f} ms of CPU a view")
    workers = {}
    for count in (1, 2):
        workers[count] = min(worker_milliseconds(plain, count, args.batches) for _ in range(args.rounds))
        say(f"ours, {count} worker processes: {workers[count]:.2f} ms of CPU a view, all processes together")
    return [
        ratio("views/s per core, whole loader / bare loop", milliseconds["bare"] / milliseconds["ours"], BARE_SHARE),
        ratio("against loose files, without colours", milliseconds["loose"] / milliseconds["ours"], PLAIN_TIMES),
        ratio(
            "against loose files, with colours",
            milliseconds["loose, colour"] / milliseconds["ours, colour"],
            COLOUR_TIMES,
        ),
        ratio("the same with a worker process, way to the trainer included", milliseconds["bare"] / workers[1], 0),
        at_most("CPU per view, two workers / one", workers[2] / workers[1], WORKER_LIMIT, "{:.2f}"),
    ]


def loader_config(folder: Path, names: Sequence[str] | dict[str, RgbdFolder], colour: str) -> DataConfig:
    """The published shapes: 518 wide, aspects 0.33 to 1, 2 x 24 views. Jitter always happens: no luck in the draws."""
    train = {name: DatasetConfig(str(folder / name), depth_percentile=98.0) for name in names}
    return DataConfig(
        train=train,
        views=[24, 24],
        images_per_gpu=48,
        workers=0,
        augmentation=AugmentationConfig(colour=colour, jitter_probability=1.0),
    )


@dataclass(frozen=True)
class BareFrame:
    """The bytes of one view and what is to become of them."""

    picture: bytes
    reduction: int
    depth: bytes
    size: tuple[int, int]
    depth_range: tuple[float, float]
    crop: Crop


@dataclass(frozen=True)
class DrawnBatch:
    """The original names of a batch's views, and its height and width."""

    samples: list[list[tuple[str, str, str]]]
    target: tuple[int, int]


def drawn_frames(config: DataConfig, batches: int) -> tuple[list[BareFrame], list[DrawnBatch]]:
    """What the loader reads in so many batches, by looking over its shoulder."""
    frames: list[BareFrame] = []
    crops: list[Crop] = []

    def remember(reader: FrameReader, row: int, reduction: int = 1) -> tuple[np.ndarray, int]:
        result = picture(reader, row, reduction)
        size = tuple(int(side) for side in reader.index["frame.size"][row])
        near, far = reader.index["frame.depth_range"][row].tolist()
        data, depth = (reader.part(row, name) for name in ("image", "depth"))
        frames.append(BareFrame(data, result[1], depth, size, (near, far), crops[-1]))
        return result

    def remember_crop(*args: object) -> Crop:
        crops.append(planned(*args))
        return crops[-1]

    picture, planned = FrameReader.picture, SampleReader._crop
    found = []
    with mock.patch.object(FrameReader, "picture", remember), mock.patch.object(SampleReader, "_crop", remember_crop):
        module = ZooDataModule(config, total_steps=batches)
        for batch in module.train_dataloader():
            samples = [
                [(dataset, scene, frame) for frame in frames_of(module, dataset, scene, rows.tolist())]
                for dataset, scene, rows in zip(batch.dataset, batch.scene, batch.frames, strict=True)
            ]
            found.append(DrawnBatch(samples, tuple(batch.images.shape[-2:])))
    return frames, found


def frames_of(module: ZooDataModule, slug: str, scene: str, rows: list[int]) -> list[str]:
    """Original names of frames of a scene."""
    index = next(dataset.index for dataset in module._train or [] if dataset.slug == slug)
    number = next(number for number in range(index.scene_count) if index.text("scene.name", number) == scene)
    return [index.text("frame.name", index.scene_rows(number)[row]) for row in rows]


def bare_loop(frames: Sequence[BareFrame]) -> None:
    """Decode the same bytes with the same decoders, and resize."""
    for frame in frames:
        resize_image(read_image(frame.picture, frame.reduction), frame.crop.of_reduced(frame.reduction))
        codes = resize_nearest(read_codes(frame.depth, frame.size), frame.crop)
        np.take(depth_table(*frame.depth_range), codes)


def drain(module: ZooDataModule) -> None:
    """Load all batches in this process. The datasets stay open between rounds: opening is no matter of views."""
    for _ in module.train_dataloader():
        pass


def loose_samples(
    readers: dict[str, RgbdFolder], batch: DrawnBatch
) -> tuple[list[list[loose_files.LooseFrame]], tuple]:
    """The same views as files."""
    return [
        [loose_frame(readers[slug], scene, frame) for slug, scene, frame in sample] for sample in batch.samples
    ], batch.target


def loose_frame(reader: RgbdFolder, scene: str, frame: str) -> loose_files.LooseFrame:
    """One view as files."""
    raw = next(found for found in reader.scenes() if found.name == scene)
    files = list_frames(reader._folder(raw), reader.options)[frame]
    camera = reader.camera(raw, frame)
    scale = reader.options.depth_scale or (1.0 if files.depth.suffix == ".npy" else 1000.0)
    return loose_files.LooseFrame(
        files.color, files.depth, scale, camera.intrinsics, np.linalg.inv(camera.cam_to_world)[:3]
    )


def published(loose: Sequence[tuple], jitter: bool) -> None:
    """Load the batches from loose files."""
    generator = np.random.default_rng(0)
    for samples, target in loose:
        loose_files.load_batch(samples, target, jitter, generator)


def views_of(loose: Sequence[tuple]) -> int:
    """Number of views of all batches."""
    return sum(len(sample) for samples, _ in loose for sample in samples)


def fastest(ways: dict[str, tuple[Callable[[], None], int]], rounds: int) -> dict[str, float]:
    """Milliseconds of CPU per view of each, all taking turns; a first round only warms up."""
    best = dict.fromkeys(ways, float("inf"))
    for number in range(rounds + 1):
        for name, (call, views) in ways.items():
            gc.collect()
            start = time.process_time()
            call()
            if number > 0:
                best[name] = min(best[name], (time.process_time() - start) / views * 1e3)
    return best


def worker_milliseconds(config: DataConfig, workers: int, batches: int) -> float:
    """Milliseconds of CPU per view in all processes, by what more batches cost: starting a worker is not counted."""
    config = replace(config, workers=workers, prefetch=1)
    few, many = 2 * workers, 2 * workers + 2 * batches
    costs = {}
    for count in (few, many):
        views, start = 0, time.process_time()
        batches_left = iter(ZooDataModule(config, total_steps=count).train_dataloader())
        for _ in range(count):
            views += next(batches_left).frames.numel()
        children = [process.pid for process in multiprocessing.active_children() if process.pid]
        costs[count] = (time.process_time() - start + sum(map(cpu_seconds, children)), views)
        del batches_left
    return (costs[many][0] - costs[few][0]) / (costs[many][1] - costs[few][1]) * 1e3


def cpu_seconds(process: int) -> float:
    """What all threads of another process have computed."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
