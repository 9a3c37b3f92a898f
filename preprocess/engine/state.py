"""What is done: the state of shards and of the whole dataset, read from their files."""

import io
import json
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.dataset_file import dataset_contents
from zipmap_pl.datasets.format.plan_file import PLAN_FILE, check_plan
from zipmap_pl.datasets.format.schema import DATASET_FILE, PLAN_FOLDER
from zipmap_pl.datasets.format.seal import seal, unseal
from zipmap_pl.files import write_exclusively
from zipmap_pl.preprocess.engine.plan import Plan, ShardPlan
from zipmap_pl.preprocess.engine.scene_checks import PairCheck

FINISHED_FILE = "finished.json"
# What a zip writes before a member and at its end: of the fields, the last ones are of interest.
ZIP_MEMBER = struct.Struct("<4s5HLLLHH")
ZIP_END = struct.Struct("<4s4HLLH")


@dataclass(frozen=True)
class Skipped:
    """Something of the raw data that is not in the shards, and why: a planned frame, or what its reader left out.

    `frame` is "" where it is no matter of one frame.
    """

    scene: str
    frame: str
    file: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.scene}/{self.frame}" if self.frame else self.scene
        return f"{where}: {self.reason}" if self.file == where else f"{where}: {self.file}: {self.reason}"


# Reason -> scene -> frames that a dataset's own description says cannot be used.
PassedOver = dict[str, dict[str, list[str]]]


def by_reason(skipped: Iterable[Skipped]) -> PassedOver:
    """Frames that were passed over, grouped, in order: short, because a dataset may have many. The sidecars name the files."""
    groups: PassedOver = {}
    for frame in skipped:
        groups.setdefault(frame.reason, {}).setdefault(frame.scene, []).append(frame.frame)
    return groups


def left_out_of(plan: Plan) -> list[Skipped]:
    """What the reader left out while it listed scenes."""
    return [Skipped(scene, "", file, reason) for scene, file, reason in plan.left_out]


def named_once(faults: Iterable[Skipped]) -> list[str]:
    """A line for each scene, file and reason, in order: where one file spoils many frames, their number is told."""
    groups: dict[tuple[str, str, str], list[Skipped]] = {}
    for fault in faults:
        whole = fault.file == f"{fault.scene}/{fault.frame}"  # it is the frame's own fault, told by its name
        groups.setdefault((fault.scene, fault.frame if whole else fault.file, fault.reason), []).append(fault)
    return [f"{group[0]}" + (f" (and {len(group) - 1} more frames)" if group[1:] else "") for group in groups.values()]


@dataclass(frozen=True)
class ShardState:
    """A finished shard: its plan and what its sidecar says about it."""

    plan: ShardPlan
    meta: dict

    @property
    def faults(self) -> list[Skipped]:
        """Planned frames that it lacks, although the raw data should have them."""
        return [Skipped(**fault) for fault in self.meta["faults"]]

    @property
    def passed_over(self) -> list[Skipped]:
        """Planned frames that it lacks, and that the raw data never have."""
        return [Skipped(**frame) for frame in self.meta.get("passed_over", [])]

    @property
    def checks(self) -> list[PairCheck]:
        """Frames that were compared."""
        return [PairCheck(**check) for check in self.meta["checks"]]

    @property
    def frame_count(self) -> int:
        """Frames that it holds."""
        return self.plan.frame_count - len(self.meta["faults"]) - len(self.meta.get("passed_over", []))


def shard_state(output: Path, shard: ShardPlan, fingerprint: str) -> ShardState | None:
    """The state of a shard that is whole (tar and sidecar of this plan, sizes agree); None if it is to be written."""
    tar = shard.tar(output)
    meta = _read_sidecar_meta(shard.sidecar(output))
    if meta is None or meta["digest"] != shard.digest(fingerprint):
        return None
    if not tar.is_file() or tar.stat().st_size != meta["bytes"]:
        return None
    return ShardState(shard, meta)


def is_complete(output: Path) -> bool:
    """Return True if the dataset was finished, and its dataset.json is what was written then."""
    return dataset_info(output) is not None


def dataset_info(output: Path) -> dict | None:
    """The contents of dataset.json, of whatever schema version; None if it is missing or damaged."""
    try:
        return dataset_contents((output / DATASET_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _read_sidecar_meta(sidecar: Path) -> dict | None:
    """The sidecar's own facts (digest, planned, sha256, bytes, faults, checks); None if it is missing or damaged.

    They are the zip's first member, stored as it is. Looking for them in the zip's table, as numpy does, takes ten times
    as long; its end, where a zip tells how long it is, is looked at instead, so that one cut short is not taken for whole.
    """
    try:
        with open(sidecar, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = file.read(ZIP_MEMBER.size)
            *_, checksum, length, _, name_length, extra_length = ZIP_MEMBER.unpack(header)
            name = file.read(name_length + extra_length)[:name_length]
            member = file.read(length)
            file.seek(max(0, size - ZIP_END.size))
            *_, table_size, table_start, _ = ZIP_END.unpack(file.read())
    except (FileNotFoundError, struct.error):
        return None
    whole = table_start + table_size + ZIP_END.size == size
    if not whole or name != b"meta.npy" or zlib.crc32(member) != checksum:
        return None
    array = np.load(io.BytesIO(member), allow_pickle=False)
    return json.loads(bytes(array))


@dataclass(frozen=True)
class Finished:
    """What is known of a dataset that was finished, so that nobody has to read its plan and all sidecars to see it.

    Attributes:
        scenes, frames, shards: planned.
        lost_scenes: number of scenes of which nothing can be used.
        files: path below the dataset folder of the plan, of every tar and sidecar, and its bytes.
    """

    scenes: int
    frames: int
    shards: int
    lost_scenes: int
    files: list[tuple[str, int]]


def finished_of(output: Path, plan: Plan, states: list[ShardState]) -> Finished:
    """The same of shards that are all there."""
    paths = [output / PLAN_FOLDER / PLAN_FILE, *(state.plan.sidecar(output) for state in states)]
    files = [(path.relative_to(output).as_posix(), path.stat().st_size) for path in paths]
    files += [(state.plan.path, int(state.meta["bytes"])) for state in states]
    return Finished(len(plan.scenes), plan.frame_count, len(states), len(plan.lost_scenes), files)


def save_finished(output: Path, finished: Finished) -> None:
    """Write it beside the plan; before `dataset.json`, without which it says nothing."""
    write_exclusively(output / PLAN_FOLDER / FINISHED_FILE, seal(json.dumps(vars(finished)).encode()))


def load_finished(output: Path) -> Finished | None:
    """A dataset that was finished, whose plan is whole and all of whose files are there; None if that cannot be said."""
    if not is_complete(output):
        return None
    try:
        text = (output / PLAN_FOLDER / FINISHED_FILE).read_bytes()
        sealed = unseal(text)
        finished = Finished(**json.loads(text if sealed is None else sealed))
        check_plan(output / PLAN_FOLDER / PLAN_FILE)
        there = all(os.stat(f"{output}/{path}").st_size == size for path, size in finished.files)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return finished if there else None
