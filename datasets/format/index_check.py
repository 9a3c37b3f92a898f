"""The index against the checksums in dataset.json: done once, by the process that starts a run, and remembered."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from zipmap_pl.datasets.format.schema import DATASET_FILE, INDEX_FOLDER
from zipmap_pl.datasets.format.shard_index import ShardIndex, column_files
from zipmap_pl.datasets.remote.remote_files import RemoteConfig
from zipmap_pl.errors import UserError
from zipmap_pl.files import write_file

CHECKED_FOLDER = "checked"  # of the cache of this machine


def open_checked(location: str | os.PathLike, remote: RemoteConfig | None = None) -> ShardIndex:
    """`ShardIndex.open`, and every byte of its columns is what dataset.json was written for.

    That takes reading all of them (432 bytes a frame). `<cache>/checked/` of this machine (`data.remote.cache`) therefore
    remembers, in one small file per dataset, the size, time of change and inode that its files had then, as a checksum;
    while those are the same, nothing is read. A cache that cannot be written or is lost means only that all is read again.

    Raises:
        UserError: a column was changed; names it and the command that writes it again.
    """
    remote = remote or RemoteConfig()
    index = ShardIndex.open(location, remote)
    damaged = _first_damaged(index, remote.folder)
    if damaged is not None and index.remote:  # a copy of ours
        shutil.rmtree(index.folder)
        index = ShardIndex.open(location, remote)
        damaged = _first_damaged(index, remote.folder)
    if damaged is not None:
        raise UserError(damaged)
    return index


def damaged_columns(folder: Path, info: dict) -> Iterator[str]:
    """A line for each column of a folder that is not what its dataset.json, whose contents are `info`, was written for."""
    checksums = info.get("index_sha256", {})
    for name in column_files(info):
        file = folder / INDEX_FOLDER / name
        try:
            with open(file, "rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            found = None
        if found is None or found != checksums.get(name):
            what = "missing" if found is None else f"checksum differs from {DATASET_FILE}"
            yield f"{file}: {what}; `zipmap shards finish {folder}` writes it again"


def _first_damaged(index: ShardIndex, cache: Path) -> str | None:
    """The first line of `damaged_columns`, unless it was all looked at before; None if all is well."""
    folder = index.folder.resolve()
    memory = cache / CHECKED_FOLDER / hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
    state = _state(folder)
    with suppress(OSError):
        if memory.read_bytes() == state:
            return None
    damaged = next(damaged_columns(index.folder, index.info), None)
    if damaged is None:
        with suppress(OSError):
            write_file(memory, state)
    return damaged


def _state(folder: Path) -> bytes:
    """A checksum of dataset.json and of size, time of change and inode of every column; taken before they are read."""
    digest = hashlib.sha256((folder / DATASET_FILE).read_bytes())
    for name in column_files():
        with suppress(FileNotFoundError):
            status = os.stat(folder / INDEX_FOLDER / name)
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ino}\n".encode())
    return digest.hexdigest().encode()
