"""Writes one shard: tar and sidecar. With its final name it is whole; its bytes depend on plan and raw data only."""

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zipmap_pl.datasets.format.schema import FRAME_COLUMNS, PARTS, sample_key
from zipmap_pl.datasets.format.shard_index import pack_text
from zipmap_pl.datasets.format.sidecar import pack_arrays
from zipmap_pl.errors import UserError
from zipmap_pl.files import commit, exclusive_temporary, sync, write_exclusively
from zipmap_pl.preprocess.engine.encode import EncodedFrame, encode_frame
from zipmap_pl.preprocess.engine.given_overlaps import Overlaps, pack
from zipmap_pl.preprocess.engine.plan import ScenePlan, ShardPlan
from zipmap_pl.preprocess.engine.raw_changes import refuse_changed
from zipmap_pl.preprocess.engine.saved_plan import has_plan
from zipmap_pl.preprocess.engine.scene_checks import PairCheck, SpanCheck
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.engine.state import Skipped, shard_state
from zipmap_pl.preprocess.raw import RawFault, RawReader

# What a sidecar has of the index; the rest follows from the plan, or needs the whole scene.
ROW_COLUMNS = {name: spec for name, spec in FRAME_COLUMNS.items() if "neighbour" not in name and name != "frame.stream"}
BLOCK = tarfile.BLOCKSIZE


class Stopped(Exception):
    """The run was interrupted; nothing is left under a final name."""


class TarStream:
    """A USTAR archive with fixed time, owner and mode, hashed while it is written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def add(self, name: str, data: bytes) -> int:
        """Append a file; returns the place of its first byte."""
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = len(data), 0o644, 0
        self._put(header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict"))
        offset = self.size
        self._put(data)
        self._put(bytes(-len(data) % BLOCK))
        return offset

    def close(self) -> str:
        """Write the end mark; returns the sha256 of the whole archive."""
        self._put(bytes(2 * BLOCK))
        return self._hash.hexdigest()

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)


@dataclass
class ShardRows:
    """What a shard adds to the index, row by row."""

    rows: list[dict[str, object]]
    names: list[str]
    thumbnails: list[np.ndarray]
    overlaps: list[Overlaps]
    faults: list[Skipped]
    passed_over: list[Skipped]
    checks: list[PairCheck]


@dataclass(frozen=True)
class Written:
    """What writing a shard brought to light."""

    faults: list[Skipped]
    passed_over: list[Skipped]
    checks: list[PairCheck]


def write_shard(
    reader: RawReader,
    output: Path,
    shard: ShardPlan,
    settings: EngineSettings,
    fingerprint: str,
    stopped: Callable[[], bool],
) -> Written:
    """Write one shard and its sidecar.

    If another process is writing this very shard, waits for it. Raises Stopped when `stopped()` says so between two
    frames, UserError if the whole folder is gone or raw files changed, and OSError of the system as it comes.
    """
    _refuse_removed(output)
    tar = shard.tar(output)
    with exclusive_temporary(tar) as stream:
        state = shard_state(output, shard, fingerprint)
        if state is not None and not state.faults:
            return Written([], state.passed_over, state.checks)  # another process has just written it
        archive = TarStream(stream)
        rows = ShardRows([], [], [], [], [], [], [])
        for span in shard.spans:
            check = SpanCheck(span.scene.number, span.first, span.count)
            for ordinal in range(span.first, span.first + span.count):
                if stopped():
                    raise Stopped
                encoded = _write_frame(reader, archive, shard, span.scene, ordinal, settings, rows)
                if encoded is not None and check.wants(ordinal):
                    check.add(ordinal, encoded)
            rows.checks += check.pairs()
        meta = {
            "digest": shard.digest(fingerprint),
            "planned": shard.frame_count,
            "sha256": archive.close(),
            "bytes": archive.size,
            "faults": [vars(fault) for fault in rows.faults],
            "checks": [vars(check) for check in rows.checks],
        }
        if rows.passed_over:
            meta["passed_over"] = [vars(frame) for frame in rows.passed_over]
        sidecar = pack_sidecar(meta, rows)
        if state is not None and shard.sidecar(output).read_bytes() == sidecar:
            return Written(rows.faults, rows.passed_over, rows.checks)  # the same faults as before
        stream.flush()
        os.fsync(stream.fileno())
        if tar.exists():  # had faults; without its tar the new sidecar cannot be taken for the old tar's
            tar.unlink()
            sync(tar.parent)
        _refuse_removed(output)
        write_exclusively(shard.sidecar(output), sidecar)
        commit(stream, tar)
    return Written(rows.faults, rows.passed_over, rows.checks)


def _refuse_removed(output: Path) -> None:
    """Make no new folders where somebody has just removed them: without its plan, a shard is nothing."""
    if not has_plan(output):
        raise UserError(removed(output))


def removed(output: Path) -> str:
    """The message about a dataset folder that is gone."""
    return f"{output}: was removed while shards were being written; run the same command again to start anew"


def _write_frame(
    reader: RawReader,
    archive: TarStream,
    shard: ShardPlan,
    scene: ScenePlan,
    ordinal: int,
    settings: EngineSettings,
    rows: ShardRows,
) -> EncodedFrame | None:
    """Append one frame; None if it is faulty or passed over."""
    name = scene.frames[ordinal]
    try:
        frame = reader.frame(scene.raw, name)
        encoded = encode_frame(frame, scene, ordinal, settings)
        if planned := dict(scene.marks).get(ordinal):
            refuse_changed(f"{scene.name}/{name}", planned, frame)
    except RawFault as fault:
        skipped = rows.passed_over if fault.usual else rows.faults
        skipped.append(Skipped(scene.name, name, fault.file, fault.reason))
        return None
    except Exception as error:
        error.add_note(f"while writing scene {scene.name!r}, frame {name!r}")
        raise
    key = sample_key(scene.number, scene.slug, ordinal)
    rows.rows.append({**encoded.row, "frame.shard": shard.number, **_add_parts(archive, key, encoded)})
    rows.names.append(name)
    rows.thumbnails.append(encoded.thumbnail)
    rows.overlaps.append(encoded.overlaps)
    return encoded


def _add_parts(archive: TarStream, key: str, encoded: EncodedFrame) -> dict[str, object]:
    """Append the parts of a sample; returns the columns that find them again."""
    offsets, lengths, checksums = ([0] * len(PARTS) for _ in range(3))
    for column, part in enumerate(PARTS):
        if part in encoded.parts:
            extension, data = encoded.parts[part]
            offsets[column] = archive.add(f"{key}.{extension}", data)
            lengths[column], checksums[column] = len(data), zlib.crc32(data)
    return {"frame.part_offset": offsets, "frame.part_length": lengths, "frame.part_crc32": checksums}


def pack_sidecar(meta: dict, rows: ShardRows) -> bytes:
    """The bytes of a sidecar: the same for the same contents."""
    arrays: dict[str, np.ndarray] = {"meta": np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8)}
    for name, (dtype, shape) in ROW_COLUMNS.items():
        arrays[name] = np.array([row[name] for row in rows.rows], dtype).reshape(len(rows.rows), *shape)
    arrays["frame.name.bytes"], arrays["frame.name.offsets"] = pack_text(rows.names)
    arrays["thumbnail.size"] = np.array([t.shape for t in rows.thumbnails], np.uint16).reshape(-1, 2)
    arrays["thumbnail.depth"] = np.concatenate([t.ravel() for t in rows.thumbnails] or [np.zeros(0, np.float16)])
    return pack_arrays(arrays | pack(rows.overlaps))
