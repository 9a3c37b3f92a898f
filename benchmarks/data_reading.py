"""Bytes that a sample reads, and what grows in the trainer and its workers over many batches."""

import argparse
import gc
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from checks import Check, at_most, memory_of

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFrame, RawScene

READ_TIMES = 1.2
GROWTH, FILES = 1.02, 32  # batches under way between two processes hold some files


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
