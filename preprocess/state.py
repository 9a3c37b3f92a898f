"""What is done: the state of shards and of the whole dataset, read from their files."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.schema import DATASET_FILE
from zipmap_pl.preprocess.plan import ShardPlan


@dataclass(frozen=True)
class Fault:
    """A planned frame that is not in the shards, and why."""

    scene: str
    frame: str
    file: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.scene}/{self.frame}"
        return f"{where}: {self.reason}" if self.file == where else f"{where}: {self.file}: {self.reason}"


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
    """The sidecar's own facts (digest, planned, sha256, bytes, faults); None if it is missing or damaged."""
    try:
        with np.load(sidecar, allow_pickle=False) as arrays:
            return json.loads(bytes(arrays["meta"]))
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
