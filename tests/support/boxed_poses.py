"""A toy dataset whose poses lie in one gzipped list per scene, of which a kept table is made."""

import gzip
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from zipmap_pl.preprocess import kept
from zipmap_pl.preprocess.raw import LeftOut, RawCamera, RawFault, RawFrame, RawReader, RawScene

BUILDS = "builds.txt"  # beside the raw folder: a line for each time that a table was made


def box_poses(raw: Path) -> None:
    """Move the poses of a raw folder of toy sequences into RAW/<scene>.poses.gz, and leave something else in their place."""
    for folder in sorted(path for path in raw.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.pose.txt"))
        text = "".join(" ".join(file.read_text().split()) + "\n" for file in files)
        (raw / f"{folder.name}.poses.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        for file in files:
            np.savetxt(file, np.eye(4))


def poses_of(file: Path) -> dict[str, np.ndarray]:
    """The table: cam_to_world [n, 4, 4]. Counts how often it is made."""
    with open(file.parent.parent / BUILDS, "a") as log:
        log.write(f"{file.name} {os.getpid()}\n")
    try:
        text = gzip.decompress(file.read_bytes()).decode()
        return {"cam_to_world": np.array([line.split() for line in text.splitlines()], np.float64).reshape(-1, 4, 4)}
    except (OSError, EOFError, ValueError) as error:
        raise RawFault(file, f"unreadable list of poses ({error})") from error


def interrupting(file: Path) -> dict[str, np.ndarray]:
    """A table that takes for ever; Ctrl-C is pressed meanwhile."""
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    os.kill(parent.pid, signal.SIGINT)
    threading.Event().wait()
    raise AssertionError


def builds(raw: Path) -> list[str]:
    """Names of the containers of which a table was made so far, sorted."""
    log = raw.parent / BUILDS
    return sorted(line.split()[0] for line in log.read_text().splitlines()) if log.exists() else []


@dataclass(frozen=True)
class BoxedPoses:
    """The reader: `reader` with the poses of its boxes."""

    reader: RawReader
    raw: Path

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    def containers(self) -> list[kept.KeptTable]:
        return [kept.KeptTable(file, "poses", poses_of) for file in sorted(self.raw.glob("*.poses.gz"))]

    def scenes(self) -> list[RawScene]:
        return [self._scene(scene) for scene in self.reader.scenes()]

    def _scene(self, scene: RawScene) -> RawScene:
        try:
            count = len(_poses(self.raw / f"{scene.name}.poses.gz"))
        except RawFault as fault:
            return replace(scene, frames=(), left_out=(LeftOut(fault.file, fault.reason),))
        return replace(scene, frames=scene.frames[:count])

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        file = self.raw / f"{scene.name}.poses.gz"
        return replace(self.reader.camera(scene, frame), cam_to_world=_poses(file)[int(frame)], file=file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        return replace(self.reader.frame(scene, frame), camera=self.camera(scene, frame))


@lru_cache(maxsize=4)
def _poses(file: Path) -> np.ndarray:
    return kept.table(file, "poses", poses_of)["cam_to_world"]


forget_poses = _poses.cache_clear
