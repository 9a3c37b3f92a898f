"""Settings of the engine, and the fingerprint of everything that decides the bytes of a dataset."""

import hashlib
import json
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import zstandard

from zipmap_pl.changes import changes
from zipmap_pl.datasets.format.schema import SHARD_VERSION
from zipmap_pl.preprocess.raw import RawReader

DEFAULT_MAX_FAULT_SHARE = 0.01


@dataclass(frozen=True)
class EngineSettings:
    """What a user may choose about writing shards.

    Attributes:
        max_side: longer side of stored pictures; a raw JPEG up to 1.25 times larger is kept byte for byte.
        frames_per_shard: planned frames of a shard.
        lossless: store pictures that are not kept as they are as PNG instead of JPEG q95 4:4:4.
        max_fault_share: share of frames that may be unusable before the run fails; no part of the fingerprint.
    """

    max_side: int = 1024
    frames_per_shard: int = 256
    lossless: bool = False
    max_fault_share: float = DEFAULT_MAX_FAULT_SHARE


def all_settings(reader: RawReader, settings: EngineSettings) -> dict[str, object]:
    """Everything that the bytes depend on, besides the raw data: plain JSON values."""
    engine = asdict(settings)
    zstd = ".".join(map(str, zstandard.ZSTD_VERSION))
    del engine["max_fault_share"]
    return {
        "schema_version": SHARD_VERSION,
        "dataset": reader.info.written(),
        "reader": json.loads(json.dumps(reader.settings())),
        "engine": engine,
        "libraries": {"numpy": np.__version__, "opencv": cv2.__version__, "zstd": zstd},
    }


def fingerprint(settings: dict[str, object]) -> str:
    """Hash of `all_settings`."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def differences(there: dict, here: dict) -> list[str]:
    """Each setting that differs, as "name: <value there>, now <value here>"."""
    return [f"{name}: {json.dumps(old)} there, {json.dumps(new)} now" for name, old, new in changes(there, here)]
