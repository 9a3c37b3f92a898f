"""Peak memory of the processes that preprocess, and raw data that would need much of it if anything grew with them."""

import os
import resource
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context, util
from pathlib import Path
from typing import Any

import numpy as np
from raw_layouts import Raw

from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFrame, RawReader, RawScene
from zipmap_pl.preprocess.zoo import tartanair


def peak_bytes() -> int:
    """Largest resident memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True)
class Noted:
    """A reader that knows when it came to a worker, which writes its peak memory to a file of `notes` when it ends."""

    reader: RawReader
    notes: Path
    home: int = field(default_factory=os.getpid)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        if os.getpid() != self.home:
            _note_at_the_end(self.notes)
        return getattr(self.reader, name)


@lru_cache(maxsize=1)
def _note_at_the_end(notes: Path) -> None:
    """Peak memory of this worker."""

    def note() -> None:
        (notes / str(os.getpid())).write_text(str(peak_bytes()))

    util.Finalize(None, note, exitpriority=1)


@dataclass(frozen=True)
class LongScene:
    """A scene of many frames, all the same."""

    frames: int
    height: int = 96
    width: int = 128
    info = DatasetInfo("long", "A long scene", "none", "static", "synthetic", 1.0)

    def settings(self) -> dict[str, object]:
        """Its length."""
        return {"frames": self.frames}

    def scenes(self) -> list[RawScene]:
        """The one."""
        return [RawScene("long", "train", tuple(f"{place:07d}" for place in range(self.frames)))]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """On a line."""
        pose = np.eye(4)
        pose[0, 3] = 0.01 * int(frame)
        return RawCamera(np.array(((100.0, 0, 64), (0, 100.0, 48), (0, 0, 1))), pose)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """Before a wall."""
        size = (self.height, self.width)
        return RawFrame(self.camera(scene, frame), np.zeros((*size, 3), np.uint8), depth=np.full(size, 2.0, np.float32))


def write_archive(raw: Raw, archive: Path, members: int, filler: int) -> RawReader:
    """A zip with the frames of `raw`, as many other members, and one of `filler` bytes."""
    assert isinstance(raw.reader, tartanair.TartanAir)
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(raw.reader.raw.rglob("*")):
            if file.is_file():
                target.write(file, file.relative_to(raw.reader.raw).as_posix())
        for number in range(members):
            target.writestr(f"hospital/hospital/Hard/P000/flow/{number:06d}_flow.npy", b"flow")
        with target.open("hospital/hospital/Hard/P000/filler", "w", force_zip64=True) as stream:
            for start in range(0, filler, 1 << 24):
                stream.write(bytes(min(1 << 24, filler - start)))
    return tartanair.TartanAir(archive.parent)


def peaks(reader: RawReader, folder: Path) -> tuple[int, int]:
    """Peak bytes of the process that starts two workers (and merges what they wrote), and of the larger worker."""
    notes = folder / "notes"
    notes.mkdir()
    preprocess(Noted(reader, notes), folder / "out", EngineSettings(), workers=2)
    return peak_bytes(), max(int(note.read_text()) for note in notes.iterdir())


def in_new_process(task: Callable, *arguments: object) -> Any:  # noqa: ANN401
    """The result of a task in a process of its own, whose memory is its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()
