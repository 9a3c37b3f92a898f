"""The data layer measured: the loader against bare decoding and against loose files, the index, what is read, what grows.

    python benchmarks/data.py loader --data FOLDER   # FOLDER holds the real sequences, see docs/real_data.md
    python benchmarks/data.py index --frames 30000000
    python benchmarks/data.py bytes
    python benchmarks/data.py growth --batches 2000

Everything is made in a temporary folder (`--folder`) and deleted; an index of 30 million frames takes 5 GB there. What
counts are ratios of one run, from CPU time, the fastest of rounds that take turns: a busy machine costs little. Exit
status 1 if a limit is missed.
"""

import argparse
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import cv2
import loose_files
import numpy as np
import torch

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule, open_dataset
from zipmap_pl.datasets.format.depth_coding import depth_table, read_codes
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.schema import (
    DATASET_FILE,
    FRAME_COLUMNS,
    FRAME_TEXT_COLUMNS,
    INDEX_FOLDER,
    MAX_NEIGHBOURS,
    SCENE_COLUMNS,
    SCENE_TEXT_COLUMNS,
    SCHEMA_VERSION,
    SHARD_TEXT_COLUMNS,
)
from zipmap_pl.datasets.format.shard_index import pack_text
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig
from zipmap_pl.datasets.loading.mixture import Mixture
from zipmap_pl.datasets.loading.samples import SampleReader
from zipmap_pl.images.crop import Crop
from zipmap_pl.images.decode import read_image
from zipmap_pl.images.resample import resize_image, resize_nearest
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions, list_frames

BARE_SHARE, PLAIN_TIMES, COLOUR_TIMES, WORKER_LIMIT = 0.75, 3.0, 8.0, 1.25
OPEN_SECONDS, ANONYMOUS_BYTES, DRAW_SECONDS = 0.5, 50e6, 2e-3
READ_TIMES = 1.2
GROWTH, FILES = 1.02, 32  # batches under way between two processes hold some files

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


@dataclass(frozen=True)
class Check:
    """One line of a result: what was measured, and whether it is as it must be."""

    what: str
    found: str
    wanted: str
    holds: bool

    def __str__(self) -> str:
        return f"| {self.what} | {self.found} | {self.wanted} | {'yes' if self.holds else '**no**'} |"


# --- loader


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


# --- index


def index(args: argparse.Namespace, folder: Path) -> list[Check]:
    """Opening, memory and draws of an index of so many frames, and of one a thousand times smaller."""
    checks = []
    for frames in (max(args.frames // 1000, 2 * args.scene), args.frames):
        made = folder / f"index-{frames}"
        generate_index(made, frames, args.scene)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, grown, draws = pool.apply(look_at_index, (str(made), args.draws))
        say(
            f"{frames:,} frames: open {seconds * 1e3:.1f} ms, RssAnon + {grown / 1e6:.1f} MB after {args.draws} draws of each rule"
        )
        checks.append(at_most(f"{frames:,} frames: open, s", seconds, OPEN_SECONDS, "{:.3f}"))
        checks.append(
            at_most(f"{frames:,} frames: a worker's RssAnon grows, MB", grown / 1e6, ANONYMOUS_BYTES / 1e6, "{:.1f}")
        )
        for rule, slowest in draws.items():
            what = f"{frames:,} frames: draw of {MOST_VIEWS} views, {rule}, 99 % below, ms"
            checks.append(at_most(what, slowest * 1e3, DRAW_SECONDS * 1e3, "{:.2f}"))
    return checks


MOST_VIEWS = 48  # of a published sample
RULES = {  # with the settings of the dataset that makes the most work
    "video_or_collection": {"rule": "video_or_collection", "max": 20, "video": 0.8, "block": 24},
    "covisibility_walk": {"rule": "covisibility_walk"},
    "overlap_weighted": {"rule": "overlap_weighted", "repeat": 0.5},
    "covisible_group": {"rule": "covisible_group", "per_view": 2.0},
    "nearby_window": {"rule": "nearby_window", "reach": 8},
    "unordered": {"rule": "unordered"},
}


def look_at_index(folder: str, draws: int) -> tuple[float, float, dict[str, float]]:
    """In a fresh process: seconds to open, growth of RssAnon in bytes, and the 99th percentile of a draw's CPU seconds."""
    small = memory_of("self", "RssAnon")
    start = time.perf_counter()
    opened = open_dataset(DatasetConfig(folder))
    seconds = time.perf_counter() - start
    slowest = {}
    for name, sampling in RULES.items():
        mixture = Mixture([type(opened)(DatasetConfig(folder, sampling=sampling), opened.index)])
        times = []
        for number in range(draws):
            generator = np.random.default_rng(number)
            start = time.thread_time()
            mixture.draw(generator, MOST_VIEWS)
            times.append(time.thread_time() - start)
        slowest[name] = float(np.percentile(times, 99))
    return seconds, memory_of("self", "RssAnon") - small, slowest


def generate_index(folder: Path, frames: int, scene: int) -> None:
    """An index of `frames` frames in scenes of `scene` frames, with neighbours; columns that draws do not read are holes."""
    scenes, columns = frames // scene, folder / INDEX_FOLDER
    columns.mkdir(parents=True)
    frames = scenes * scene
    for names, rows in ((FRAME_COLUMNS, frames), (SCENE_COLUMNS, scenes)):
        for name, (dtype, shape) in names.items():
            np.lib.format.open_memmap(columns / f"{name}.npy", "w+", dtype, (rows, *shape))
    for name, values in zip(("neighbours", "neighbour_overlap"), neighbours_of_a_video(scene), strict=True):
        column = np.lib.format.open_memmap(columns / f"frame.{name}.npy", "r+")
        for first in range(0, frames, scene):
            column[first : first + scene] = values
    fill(columns, "scene.first_frame", np.arange(scenes) * scene)
    fill(columns, "scene.frame_count", scene)
    fill(columns, "scene.unit", 1.0)
    for name, rows in (
        *((n, frames) for n in FRAME_TEXT_COLUMNS),
        *((n, scenes) for n in (*SCENE_TEXT_COLUMNS, *SHARD_TEXT_COLUMNS)),
    ):
        packed, offsets = (
            pack_text([f"{row:06d}" for row in range(rows)]) if rows == scenes else (np.zeros(1, np.uint8), None)
        )
        np.save(columns / f"{name}.bytes.npy", packed)
        file = np.lib.format.open_memmap(columns / f"{name}.offsets.npy", "w+", np.int64, (rows + 1,))
        if offsets is not None:
            file[:] = offsets
    info = {"schema_version": SCHEMA_VERSION, "slug": "generated", "licence": "", "splits": ["train"]}
    (folder / DATASET_FILE).write_text(json.dumps(info))


def neighbours_of_a_video(scene: int) -> tuple[np.ndarray, np.ndarray]:
    """[scene, k] neighbours up to k / 2 frames away on both sides, and overlaps that fall with the distance."""
    steps = np.repeat(np.arange(1, MAX_NEIGHBOURS // 2 + 1), 2) * np.tile((1, -1), MAX_NEIGHBOURS // 2)
    neighbours = np.arange(scene)[:, None] + steps
    overlap = np.broadcast_to(250 - 12 * np.abs(steps), neighbours.shape)
    return np.where((neighbours >= 0) & (neighbours < scene), neighbours, -1), overlap


def fill(columns: Path, name: str, values: object) -> None:
    """Write a whole column."""
    np.lib.format.open_memmap(columns / f"{name}.npy", "r+")[:] = values


# --- bytes


@dataclass(frozen=True)
class Repeated:
    """A raw dataset of one scene that shows the same wall in every frame."""

    frames: int
    height: int
    width: int

    @property
    def info(self) -> DatasetInfo:
        """Nothing special."""
        return DatasetInfo("repeated", "The same wall", "none", "static", "synthetic", 1.0)

    def settings(self) -> dict[str, object]:
        """What decides the bytes."""
        return {"frames": self.frames, "size": [self.height, self.width]}

    def scenes(self) -> list[RawScene]:
        """The one."""
        return [RawScene("wall", "train", tuple(f"{number:06d}" for number in range(self.frames)))]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """Moves to the right."""
        pose = np.eye(4)
        pose[0, 3] = 0.01 * int(frame)
        return RawCamera(
            np.array([[self.width, 0, self.width / 2], [0, self.width, self.height / 2], [0, 0, 1.0]]), pose
        )

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """Noise and a slope."""
        image = np.random.default_rng(int(frame)).integers(0, 256, (self.height, self.width, 3), np.uint8)
        depth = np.linspace(1, 2, self.height * self.width, dtype=np.float32).reshape(self.height, self.width)
        return RawFrame(self.camera(scene, frame), image, None, depth)


def bytes_read(args: argparse.Namespace, folder: Path) -> list[Check]:
    """What the operating system was asked for, for 24 views of a long scene."""
    preprocess(Repeated(args.frames, 48, 64), folder / "wall", EngineSettings(), workers=1)
    data = {"wall": DatasetConfig(str(folder / "wall"))}
    config = DataConfig(train=data, width=56, views=[24, 24], images_per_gpu=24, workers=0)
    module = ZooDataModule(config, total_steps=9)
    batches = iter(module.train_dataloader())
    next(batches)  # imports what is imported lazily
    index = module._train[0].index
    wanted = read = 0
    for _ in range(8):
        before = characters_read()
        batch: Batch = next(batches)
        read += characters_read() - before
        wanted += int(index["frame.part_length"][batch.frames.numpy().ravel()].sum())
    return [
        at_most(
            f"24 views of {args.frames:,} frames: bytes read / bytes of those frames",
            read / wanted,
            READ_TIMES,
            "{:.3f}",
        )
    ]


def characters_read() -> int:
    """Bytes that this process has asked the system for."""
    return int(Path("/proc/self/io").read_text().split()[1])


# --- growth


def growth(args: argparse.Namespace, folder: Path) -> list[Check]:
    """Anonymous memory and open files of the trainer and its workers after a tenth of the batches, and after all."""
    preprocess(Repeated(60, 48, 64), folder / "wall", EngineSettings(), workers=1)
    data = {"wall": DatasetConfig(str(folder / "wall"))}
    config = DataConfig(train=data, width=56, views=[2, 8], images_per_gpu=8, workers=2)
    before: list[tuple[float, int]] = []
    after: list[tuple[float, int]] = []
    for number, _ in enumerate(ZooDataModule(config, total_steps=args.batches).train_dataloader(), start=1):
        if number == args.batches // 5:
            before = [state_of(process) for process in processes()]
        if number == args.batches - config.workers * config.prefetch:
            after = [state_of(process) for process in processes()]
    checks = []
    for name, (memory, files), (later, more) in zip(("trainer", "worker 1", "worker 2"), before, after, strict=True):
        what = f"{name}: RssAnon after {args.batches} batches / after {args.batches // 5}"
        checks.append(at_most(what, later / memory, GROWTH, "{:.3f}"))
        checks.append(at_most(f"{name}: open files, more than before", more - files, FILES, "{}"))
    return checks


def processes() -> Iterator[str]:
    """This process and its children, in the order of their start."""
    yield "self"
    yield from map(str, sorted(process.pid or 0 for process in multiprocessing.active_children()))


def state_of(process: str) -> tuple[float, int]:
    """RssAnon in bytes and the number of open files."""
    gc.collect()
    return memory_of(process, "RssAnon"), len(os.listdir(f"/proc/{process}/fd"))


# --- common


def memory_of(process: str, kind: str) -> float:
    """Bytes, from /proc."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith(f"{kind}:")).split()[1])


def ratio(what: str, found: float, least: float) -> Check:
    """A ratio that must be large."""
    return Check(what, f"{found:.2f}", f"at least {least:g}", found >= least)


def at_most(what: str, found: float, most: float, form: str) -> Check:
    """A number that must be small."""
    return Check(what, form.format(found), f"at most {most:g}", found <= most)


def say(line: str) -> None:
    """To the terminal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, measure in {"loader": loader, "index": index, "bytes": bytes_read, "growth": growth}.items():
        command = commands.add_parser(name, help=measure.__doc__)
        command.set_defaults(measure=measure)
        command.add_argument("--folder", type=Path, help="where the temporary folder is made")
        if name == "loader":
            command.add_argument("--data", type=Path, required=True, help="folder of the real sequences")
            command.add_argument("--batches", type=int, default=4, help="of 2 scenes with 24 views, per round")
            command.add_argument("--rounds", type=int, default=5)
        if name == "index":
            command.add_argument("--frames", type=int, default=30_000_000)
            command.add_argument("--scene", type=int, default=1000, help="frames of a scene")
            command.add_argument("--draws", type=int, default=1000, help="of each rule")
        if name == "bytes":
            command.add_argument("--frames", type=int, default=5000, help="of the scene")
        if name == "growth":
            command.add_argument("--batches", type=int, default=2000)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status."""
    args = parse(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="data-benchmark-") as folder:
        checks = args.measure(args, Path(folder))
    say("| measured | found | wanted | holds |\n|---|---:|---|---|")
    for check in checks:
        say(str(check))
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
