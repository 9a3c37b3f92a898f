"""Every reader of the zoo against a loop that only decodes the same raw files and encodes the same output.

    python benchmarks/preprocess_zoo.py                           # all, 1,000 frames each: an hour
    python benchmarks/preprocess_zoo.py vkitti2 spring --frames 100

The raw data are the miniatures of the tests in the published sizes, with noise as photos have; the frames of one scene are
walked through to and fro until there are enough. Time is CPU time of one worker; rounds of the two alternate, and the
fastest of each counts. The last column is the most memory that a process took that did the work. Exit status 1 if a limit is missed.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from peak_memory import in_new_process, peak_bytes
from raw_files import RAW_FILES, Decode
from raw_layouts import Raw, to_and_fro

from preprocess import fastest, write_all
from zipmap_pl.datasets.format.depth_coding import encode_depth, write_codes, write_png
from zipmap_pl.images.resample import resample_depth, resample_layer
from zipmap_pl.preprocess.engine.encode import JPEG_SETTINGS, stored_size
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawCamera, RawFrame, RawReader, RawScene

SPEED_LIMIT, SPEED_LIMIT_OPENED = 0.8, 0.7  # of the bare loop; where a container or a mesh has to be opened
MEMORY_LIMIT = 1.5e9  # bytes
GRAIN = 6  # gray levels of noise on the images
MINIATURES = Path(__file__).parents[1] / "tests/support"


@dataclass(frozen=True)
class Walked:
    """A reader of one scene, whose frames are walked through to and fro until there are `frames`."""

    reader: RawReader
    name: str
    frames: int

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    @cached_property
    def scene(self) -> RawScene:
        """As the reader lists it."""
        scenes = {scene.name: scene for scene in self.reader.scenes()}
        if self.name not in scenes:
            raise ValueError(f"no scene {self.name} among {', '.join(scenes)}")
        return scenes[self.name]

    def scenes(self) -> list[RawScene]:
        """The one; the name of a frame begins with its place."""
        walk = to_and_fro(list(self.scene.frames), self.frames)
        names = tuple(f"{place:05d}-{name}" for place, name in enumerate(walk))
        return [replace(self.scene, frames=names, streams=(), split="train")]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """That of the frame that is walked past."""
        return self.reader.camera(self.scene, frame.split("-", 1)[1])

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The frame that is walked past."""
        return replace(self.reader.frame(self.scene, frame.split("-", 1)[1]), overlaps=None)


@dataclass(frozen=True)
class Measured:
    """CPU seconds of the bare loop and of the writing of all frames, and bytes of the process that did both."""

    bare: float
    written: float
    peak: int


def bare_loop(steps: list[tuple[Decode, RawFrame]], max_side: int) -> None:
    """Decode each frame's files, then resize and encode the layers that its reader makes of them."""
    for decode, frame in steps:
        decode()
        height, width = frame.image.shape[:2]
        size = stored_size(height, width, frame.jpeg is not None, max_side)
        if frame.jpeg is None or size != (height, width):
            image = cv2.resize(frame.image, size[::-1], interpolation=cv2.INTER_AREA)
            cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), JPEG_SETTINGS)
        if frame.depth is not None:
            sky = None if frame.sky is None else resample_layer(frame.sky, *size)
            write_codes(encode_depth(resample_depth(frame.depth, *size), sky)[0])
        for mask in (frame.dynamic, frame.object):
            if mask is not None:
                write_png(resample_layer(mask, *size).astype(np.uint8) * 255)


def measure(name: str, frames: int, rounds: int) -> Measured:
    """One dataset, in a process of its own."""
    cv2.setNumThreads(1)
    sys.path.insert(0, str(MINIATURES))
    from miniatures import rooms  # noqa: PLC0415

    rooms.SCALE, rooms.GRAIN = RAW_FILES[name].scale, GRAIN
    from miniatures.found import all_miniatures  # noqa: PLC0415
    from readers import reader_of  # noqa: PLC0415

    miniature = next(m for m in all_miniatures() if m.name == name)
    files = RAW_FILES[name]
    with tempfile.TemporaryDirectory() as folder:
        miniature.write(Path(folder))
        reader = Walked(reader_of(name, folder, *miniature.options), files.scene, frames)
        made = [reader.reader.frame(reader.scene, name) for name in reader.scene.frames]
        steps = to_and_fro(list(zip(files.decoders(Path(folder)), made, strict=True)), frames)
        settings = EngineSettings()
        bare, written = fastest(
            rounds,
            time.process_time,
            lambda: bare_loop(steps, settings.max_side),
            lambda: write_all(Raw(name, reader, []), settings, 1),
        )
    return Measured(bare, written, peak_bytes())


def main(arguments: list[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="datasets (default: all)")
    parser.add_argument("--frames", type=int, default=1000, help="of each (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    print("| dataset | frames/s, bare loop | frames/s, one worker | share of the bare loop | MB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    good = True
    for name in chosen.names or sorted(RAW_FILES):
        found = in_new_process(measure, name, chosen.frames, chosen.rounds)
        share = found.bare / found.written
        good &= share >= (SPEED_LIMIT_OPENED if RAW_FILES[name].opens else SPEED_LIMIT) and found.peak <= MEMORY_LIMIT
        rates = f"{chosen.frames / found.bare:.1f} | {chosen.frames / found.written:.1f}"
        print(f"| {name} | {rates} | {share:.2f} | {found.peak / 1e6:.0f} |", flush=True)
    if not good:
        print(
            f"expected {SPEED_LIMIT} of the bare loop ({SPEED_LIMIT_OPENED} with containers), {MEMORY_LIMIT / 1e9} GB"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
