"""Checks a dataset in shards, byte for byte and image for image: index, shards, and what the writer keeps for itself."""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader
from zipmap_pl.datasets.format.index_check import damaged_columns
from zipmap_pl.datasets.format.plan_file import PLAN_FILE, check_plan
from zipmap_pl.datasets.format.schema import (
    EXTENSIONS,
    PARTS,
    PLAN_FOLDER,
    SIDECAR_FOLDER,
    sample_key,
    sidecar_path,
    slug_of,
)
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.format.sidecar import DamagedSidecar, read_arrays
from zipmap_pl.progress import track

NAMED_SAMPLES = 3


def verify(folder: str | Path) -> list[str]:
    """Check dataset.json, index, plan and sidecars, and of each shard: size, checksum, members, and that every part decodes.

    A copy without plan and sidecars, which only the writer needs, is whole without them.

    Returns:
        one line per problem, naming shard and sample; empty if all is well.

    Raises:
        UserError: the folder is no complete dataset, or its dataset.json was changed.
    """
    index = ShardIndex.open(folder)
    problems = list(damaged_columns(index.folder, index.info))
    if problems:  # shards cannot be judged by a damaged index
        return problems
    problems += _check_plan(index)
    for shard in track(range(index.shard_count), "verify", index.shard_count):
        problems += [*verify_shard(index, shard), *_check_sidecar(index, shard)]
    return problems


def verify_shard(index: ShardIndex, shard: int) -> list[str]:
    """Problems of one shard; see `verify`."""
    file = index.shard_file(shard)
    if not file.is_file():
        return [f"{file}: missing; run its `zipmap preprocess` again"]
    rows, reader = np.flatnonzero(index["frame.shard"] == shard), FrameReader(index)
    problems = [problem for row in rows for problem in _check_frame(reader, int(row))]
    if len(problems) > NAMED_SAMPLES:
        problems[NAMED_SAMPLES:] = [f"{file}: {len(problems) - NAMED_SAMPLES} more samples are damaged"]
    if not problems:
        problems += _check_archive(reader, shard, rows)
    return problems


def _check_plan(index: ShardIndex) -> list[str]:
    file = index.folder / PLAN_FOLDER / PLAN_FILE
    if not file.parent.is_dir():
        return []
    try:
        if check_plan(file).get("fingerprint") != index.info.get("fingerprint"):
            return [f"{file}: the plan of another dataset; put the right one back, or preprocess with --rebuild"]
    except FileNotFoundError:
        return [f"{file}: missing; run the same `zipmap preprocess` again"]
    except ValueError as error:
        return [f"{file}: damaged ({error}); run the same `zipmap preprocess` again, which plans anew"]
    return []


def _check_sidecar(index: ShardIndex, shard: int) -> list[str]:
    file = index.folder / sidecar_path(index.text("shard.path", shard))
    if not (index.folder / SIDECAR_FOLDER).is_dir():
        return []
    try:
        meta = json.loads(bytes(read_arrays(file)["meta"]))
        if meta["sha256"] != index.text("shard.sha256", shard):
            return [f"{file}: the sidecar of another shard; delete it and run the same `zipmap preprocess` again"]
    except FileNotFoundError:
        return [f"{file}: missing; run the same `zipmap preprocess` again"]
    except DamagedSidecar as damage:
        return [str(damage)]
    return []


def _check_frame(reader: FrameReader, row: int) -> Iterator[str]:
    """The first problem of a frame, if any."""
    try:
        reader.read(row)
        if reader.part(row, "camera") is None:
            raise reader.fault(row, "has no camera")
    except DamagedShard as damage:
        yield str(damage)


def _check_archive(reader: FrameReader, shard: int, rows: np.ndarray) -> list[str]:
    """Members as a tar reader sees them, and the checksum of the whole file."""
    index = reader.index
    file = index.shard_file(shard)
    wanted = dict(member for row in rows for member in _members(reader, int(row)))
    try:
        with tarfile.open(file, "r:") as archive:
            found = {member.name: member.offset_data for member in archive}
    except tarfile.TarError as error:
        return [f"{file}: not readable as a tar ({error}); delete it and preprocess again"]
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            return [f"{file}: sample {name}: at {found.get(name)}, the index says {wanted.get(name)}"]
    if _sha256(file) != index.text("shard.sha256", shard):
        return [f"{file}: checksum differs from the index, outside of the samples; delete it and preprocess again"]
    return []


def _members(reader: FrameReader, row: int) -> Iterator[tuple[str, int]]:
    """Names and places of a frame's parts."""
    index = reader.index
    scene, ordinal = int(index["frame.scene"][row]), int(index["frame.ordinal"][row])
    key = sample_key(scene, slug_of(index.text("scene.name", scene)), ordinal)
    for column, part in enumerate(PARTS):
        if index["frame.part_length"][row, column]:
            extension = EXTENSIONS.get(part) or _image_extension(reader.part(row, part))
            yield f"{key}.{extension}", int(index["frame.part_offset"][row, column])


def _image_extension(data: bytes | None) -> str:
    return "png" if data is not None and data.startswith(b"\x89PNG") else "jpg"


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
