"""What is done: the state of shards and of the whole dataset, read from their files."""

import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.schema import DATASET_FILE
from zipmap_pl.preprocess.plan import Plan, ShardPlan
from zipmap_pl.preprocess.scene_checks import PairCheck


@dataclass(frozen=True)
class Fault:
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


def left_out_of(plan: Plan) -> list[Fault]:
    """What the reader left out while it listed scenes."""
    return [Fault(scene, "", file, reason) for scene, file, reason in plan.left_out]


def named_once(faults: Iterable[Fault]) -> list[str]:
    """A line for each scene, file and reason, in order: where one file spoils many frames, their number is told."""
    groups: dict[tuple[str, str, str], list[Fault]] = {}
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
    def faults(self) -> list[Fault]:
        """Planned frames that it lacks."""
        return [Fault(**fault) for fault in self.meta["faults"]]

    @property
    def checks(self) -> list[PairCheck]:
        """Frames that were compared."""
        return [PairCheck(**check) for check in self.meta["checks"]]

    @property
    def frame_count(self) -> int:
        """Frames that it holds."""
        return self.plan.frame_count - len(self.meta["faults"])


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
    """Whether the dataset was finished."""
    return (output / DATASET_FILE).is_file()


def _read_sidecar_meta(sidecar: Path) -> dict | None:
    """The sidecar's own facts (digest, planned, sha256, bytes, faults, checks); None if it is missing or damaged."""
    try:
        with np.load(sidecar, allow_pickle=False) as arrays:
            return json.loads(bytes(arrays["meta"]))
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
