"""Checks a dataset in shards against its index, byte for byte and picture for picture."""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader
from zipmap_pl.datasets.format.schema import EXTENSIONS, INDEX_FOLDER, PARTS, sample_key, slug_of
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.errors import UserError
from zipmap_pl.progress import track

NAMED_SAMPLES = 3


def verify(folder: str | Path) -> list[str]:
    """Check index columns, and of each shard: size, checksum, members, and that every part decodes to its size.

    Returns:
        one line per problem, naming shard and sample; empty if all is well.

    Raises:
        UserError: the folder is no complete dataset.
    """
    index = ShardIndex.open(folder)
    problems = list(_check_columns(index))
    if problems:  # shards cannot be judged by a damaged index
        return problems
    for shard in track(range(index.shard_count), "verify", index.shard_count):
        problems += verify_shard(index, shard)
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


def _check_columns(index: ShardIndex) -> Iterator[str]:
    for name, wanted in index.info["index_sha256"].items():
        file = index.folder / INDEX_FOLDER / name
        if _sha256(file) != wanted:
            yield f"{file}: checksum differs from dataset.json; delete dataset.json and run `zipmap shards finish`"


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
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise UserError(f"{file}: missing; run `zipmap shards finish` after deleting dataset.json") from error
