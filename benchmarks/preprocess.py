"""Preprocessing against the work that no writer of shards can spare, on real raw data.

    python benchmarks/preprocess.py --data ../shared/data            # everything, some minutes
    python benchmarks/preprocess.py --data ../shared/data --only speed --frames 100
    python benchmarks/preprocess.py --data ../shared/data --only gain   # nothing else may run

Needs two folders there: tartanair_raw (PNG pictures, depth as .npy, in the published layout) and livingroom_open3d
(JPEG pictures, PNG depth, trajectory.log), which is laid out as a TUM sequence. Their frames are walked through to and
fro until there are enough. Exit status 1 if a limit is missed.

speed     frames per second of one worker, as a share of a bare loop that decodes picture and depth, resizes and encodes
          both. Time is CPU time, rounds of the two alternate, the fastest of each counts.
gain      how much sooner two workers are done than one, by the clock, their start and the merging of what they wrote
          included: needs two idle cores. Eight sequences; rounds alternate, the fastest of each counts.
resume    seconds until the command says that a job is done; and that one shard is still missing.
memory    peak of a worker: a scene of many frames, an archive of many members that is larger than any memory should be.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
from peak_memory import LongScene, in_new_process, peaks, write_archive
from raw_layouts import Raw, lay_out_tartanair, lay_out_tum

from zipmap_pl.datasets.format.dataset_file import pack_dataset_file
from zipmap_pl.datasets.format.depth_coding import encode_depth, write_codes
from zipmap_pl.datasets.format.schema import (
    DATASET_FILE,
    FRAME_COLUMNS,
    INDEX_FOLDER,
    SCENE_COLUMNS,
    SCHEMA_VERSION,
    SHARD_TEXT_COLUMNS,
)
from zipmap_pl.images.resample import resample_layer
from zipmap_pl.preprocess.engine.columns import write_column, write_text
from zipmap_pl.preprocess.engine.encode import JPEG_SETTINGS, stored_size
from zipmap_pl.preprocess.engine.plan import Plan, ScenePlan
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.saved_plan import save_plan
from zipmap_pl.preprocess.engine.settings import EngineSettings, all_settings
from zipmap_pl.preprocess.engine.state import ShardState, finished_of, save_finished
from zipmap_pl.preprocess.engine.writer import ShardRows, pack_sidecar
from zipmap_pl.preprocess.raw import DatasetInfo

SPEED_LIMIT = 0.8  # of the bare loop
GAIN_LIMIT = 1.8  # of two workers
RESUME_LIMIT = 10.0  # seconds
MEMORY_LIMIT = 1.5e9  # bytes of a worker
SIDES = (1024, 504)  # the default, where pictures stay as large as they are, and one that resizes
FRAMES_OF_RESUMED_SHARD = 50
SEQUENCES, SHARDS_OF_GAIN = 8, 32  # that two workers share


# Speed.


def bare_loop(files: list[tuple[Path, Path]], max_side: int) -> None:
    """Decode, resize and encode picture and depth of every frame, and nothing else. A JPEG that fits is kept."""
    for picture_file, depth_file in files:
        data, is_jpeg = picture_file.read_bytes(), picture_file.suffix == ".jpg"
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        raw_size = picture.shape[:2]
        size = stored_size(*raw_size, is_jpeg, max_side)
        if size != raw_size:
            picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
        if size != raw_size or not is_jpeg:
            cv2.imencode(".jpg", picture, JPEG_SETTINGS)
        depth = (
            np.load(depth_file) if depth_file.suffix == ".npy" else cv2.imread(str(depth_file), cv2.IMREAD_UNCHANGED)
        )
        write_codes(encode_depth(resample_layer(depth, *size).astype(np.float32))[0])


def seconds_of(call: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    call()
    return time.process_time() - start


def write_all(raw: Raw, settings: EngineSettings, workers: int) -> None:
    """The shards of a raw dataset, which are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        preprocess(raw.reader, Path(folder, "out"), settings, workers)


def fastest(rounds: int, clock: Callable[[], float], *tasks: Callable[[], object]) -> list[float]:
    """Seconds of each task; they take turns, and the fastest round of each counts."""
    taken: list[list[float]] = [[] for _ in tasks]
    for _ in range(rounds):
        for task, times in zip(tasks, taken, strict=True):
            start = clock()
            task()
            times.append(clock() - start)
    return [min(times) for times in taken]


def speed(data: Path, folder: Path, frames: int, rounds: int) -> tuple[list[str], bool]:
    """The lines of a table, and whether the limit holds."""
    lines = [
        "| raw data | longer side | frames/s, bare loop | frames/s, one worker | share of the bare loop |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    good = True
    for name, lay_out in (("tartanair", lay_out_tartanair), ("tum", lay_out_tum)):
        raw = lay_out(data, folder / name, frames)
        for side in SIDES:
            bare, one = fastest(
                rounds,
                time.process_time,
                lambda raw=raw, side=side: bare_loop(raw.files, side),
                lambda raw=raw, side=side: write_all(raw, EngineSettings(side), 1),
            )
            good &= bare / one >= SPEED_LIMIT
            lines.append(f"| {raw.name} | {side} | {frames / bare:.1f} | {frames / one:.1f} | {bare / one:.2f} |")
    return lines, good


# Two workers.


def gain(data: Path, folder: Path, frames: int, rounds: int) -> tuple[list[str], bool]:
    """The lines of a table, and whether the limit holds."""
    lines = ["| raw data | frames | s, one worker | s, two workers | gain |", "| --- | ---: | ---: | ---: | ---: |"]
    good = True
    for name, lay_out in (("tartanair", lay_out_tartanair), ("tum", lay_out_tum)):
        raw = lay_out(data, folder / name, max(1, frames // SEQUENCES), SEQUENCES)
        count = len(raw.files)
        settings = EngineSettings(frames_per_shard=max(1, count // SHARDS_OF_GAIN))
        one, two = fastest(
            rounds,
            time.perf_counter,
            lambda raw=raw, settings=settings: write_all(raw, settings, 1),
            lambda raw=raw, settings=settings: write_all(raw, settings, 2),
        )
        good &= one / two >= GAIN_LIMIT
        lines.append(f"| {raw.name} | {count} | {one:.1f} | {two:.1f} | {one / two:.2f} times |")
    return lines, good


# Resuming.


class Nothing:
    """A reader of a job that is done."""

    info = DatasetInfo("done", "A finished job", "none", "static", "synthetic", 1.0)

    def settings(self) -> dict[str, object]:
        """None."""
        return {}


def write_job(folder: Path, shards: int, frames: int) -> None:
    """The state of a job when all `shards` of `frames` frames are written, ten to a scene; tars are a few bytes."""
    world = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))
    names = tuple(f"{place:06d}" for place in range(10 * frames))
    scenes = []
    for number in range(-(-shards // 10)):
        held = names[: frames * (shards - 10 * number)]
        place = ("s", "train", number * len(names), held, (1, 1))
        scenes.append(ScenePlan(number, f"scene-{number}", *place, 1.0, 0, "0", world, 1.0, False))
    plan = Plan(all_settings(Nothing(), EngineSettings(frames_per_shard=frames)), tuple(scenes))
    save_plan(plan, folder)
    states = []
    for shard in plan.shards():
        meta = {"planned": frames, "digest": shard.digest(plan.fingerprint), "sha256": "", "bytes": 3}
        meta |= {"faults": [], "checks": []}
        for file, data in (
            (shard.tar(folder), b"tar"),
            (shard.sidecar(folder), pack_sidecar(meta, ShardRows(*([] for _ in fields(ShardRows))))),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        states.append(ShardState(shard, meta))
    save_finished(folder, finished_of(folder, plan, states))
    write_index(folder / INDEX_FOLDER, plan)
    info = {"schema_version": SCHEMA_VERSION, **plan.settings["dataset"], "splits": plan.splits}
    nothing = {"counts": {}, "faults": [], "left_out": []}
    (folder / DATASET_FILE).write_bytes(pack_dataset_file({**info, **nothing}))


def write_index(folder: Path, plan: Plan) -> None:
    """An index of all scenes, without any frame."""
    for columns, rows in ((FRAME_COLUMNS, 0), (SCENE_COLUMNS, len(plan.scenes))):
        for name, (dtype, shape) in columns.items():
            write_column(folder / f"{name}.npy", np.zeros((rows, *shape), dtype))
    write_text(folder, "frame.name", [])
    write_text(folder, "scene.name", [scene.name for scene in plan.scenes])
    for name in SHARD_TEXT_COLUMNS:
        write_text(folder, name, [])


def resume(folder: Path, shards: int, frames: int) -> tuple[list[str], bool]:
    """A line of a table for a finished job, and one for a job of which one shard is still to be written by another part."""
    write_job(folder, shards, frames)
    settings = EngineSettings(frames_per_shard=frames)
    lines = ["| job | shards | frames | CPU seconds |", "| --- | ---: | ---: | ---: |"]
    taken = []
    for job in ("finished", "one shard missing"):
        if job != "finished":
            (folder / DATASET_FILE).unlink()
            next(folder.rglob("*-000000.tar")).unlink()
        taken.append(seconds_of(lambda: preprocess(Nothing(), folder, settings, 1, part=(2, 2))))
        lines.append(f"| {job} | {shards} | {shards * frames} | {taken[-1]:.2f} |")
    return lines, taken[0] <= RESUME_LIMIT


# Memory.


def memory(data: Path, folder: Path, frames: int, members: int, filler: int) -> tuple[list[str], bool]:
    """The lines of a table, and whether the limit holds."""
    raw = lay_out_tartanair(data, folder / "loose", 40)
    archive = folder / "zipped/hospital.zip"
    archive.parent.mkdir()
    cases = {
        f"a scene of {frames // 10} frames": LongScene(frames // 10),
        f"a scene of {frames} frames": LongScene(frames),
        "40 frames in folders": raw.reader,
        f"the same in a zip of {members} members and {filler / 1e9:.1f} GB": write_archive(
            raw, archive, members, filler
        ),
    }
    lines, good = ["| raw data | worker MB | parent MB |", "| --- | ---: | ---: |"], True
    for number, (name, reader) in enumerate(cases.items()):
        place = folder / str(number)
        place.mkdir()
        parent, worker = in_new_process(peaks, reader, place)
        good &= max(parent, worker) <= MEMORY_LIMIT
        lines.append(f"| {name} | {worker / 1e6:.0f} | {parent / 1e6:.0f} |")
    return lines, good


def main(arguments: list[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with tartanair_raw and livingroom_open3d")
    parser.add_argument("--only", choices=("speed", "gain", "resume", "memory"), help="one of the four")
    parser.add_argument("--frames", type=int, default=1000, help="of a sequence, for speed (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="for speed and gain (default: %(default)s)")
    parser.add_argument("--gain-frames", type=int, default=4000, help="for gain (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=100_000, help="for resume (default: %(default)s)")
    parser.add_argument("--scene-frames", type=int, default=20_000, help="for memory (default: %(default)s)")
    parser.add_argument("--members", type=int, default=100_000, help="for memory (default: %(default)s)")
    parser.add_argument("--filler", type=float, default=2e9, help="bytes, for memory (default: %(default)g)")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    parts: dict[str, Callable[[Path], tuple[list[str], bool]]] = {
        "speed": lambda folder: speed(chosen.data, folder, chosen.frames, chosen.rounds),
        "gain": lambda folder: gain(chosen.data, folder, chosen.gain_frames, chosen.rounds),
        "resume": lambda folder: resume(folder, chosen.shards, FRAMES_OF_RESUMED_SHARD),
        "memory": lambda folder: memory(chosen.data, folder, chosen.scene_frames, chosen.members, int(chosen.filler)),
    }
    good = True
    for name, part in parts.items():
        if chosen.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                lines, holds = part(Path(folder))
            print("\n".join(lines) + "\n", flush=True)
            good &= holds
    if not good:
        print(
            f"expected {SPEED_LIMIT} of the bare loop, two workers {GAIN_LIMIT} times one, {RESUME_LIMIT:g} s to see that a"
            f" job is done, {MEMORY_LIMIT / 1e9} GB"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
