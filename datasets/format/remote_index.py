"""The index of a dataset behind a URL: fetched once to this machine, checked, and from then on mapped like any other."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zipmap_pl.datasets.format.schema import DATASET_FILE, INDEX_FOLDER
from zipmap_pl.datasets.remote.remote_files import RemoteError, RemoteFiles
from zipmap_pl.errors import UserError
from zipmap_pl.files import locked, new_file, write_file

CHUNK = 1 << 24  # bytes asked for at once: a column of 30 million frames has gigabytes


class MissingDataset(UserError):
    """A dataset that is not there, or not finished."""


def fetch_index(
    url: str, columns_of: Callable[[dict], Sequence[str]], parse: Callable[[bytes, str], dict], files: RemoteFiles
) -> Path:
    """A local folder with dataset.json and index/ of the dataset at `url`.

    dataset.json is fetched each time; the columns only if the folder of this very dataset.json is not there yet. Several
    processes may call this at once: one fetches, the others wait.

    Args:
        url: of the dataset folder.
        columns_of: file names below index/, from the contents of dataset.json.
        parse: makes a dict of the bytes of dataset.json, which lie at the place it is told; raises UserError.
        files: how to fetch.

    Raises:
        MissingDataset: there is no dataset.json.
        UserError: it cannot be fetched, or a column is not what dataset.json says.
    """
    where = f"{url}/{DATASET_FILE}"
    try:
        contents = files.whole(where)
    except RemoteError as error:
        if error.transient:
            raise UserError(f"{where}: cannot be fetched ({error.strerror}); is the server reachable?") from error
        raise MissingDataset(
            f"{where}: {error.strerror}, expected a complete dataset in shards; is the URL right?"
        ) from error
    info = parse(contents, where)
    columns, checksums = columns_of(info), info.get("index_sha256", {})
    if missing := sorted(set(columns) - checksums.keys()):
        raise UserError(f"{where}: index_sha256 says nothing of {missing[0]}; run its `zipmap preprocess` again")
    folder = files.config.folder / "indexes" / hashlib.sha256(url.encode() + b"\n" + contents).hexdigest()[:32]
    if not (folder / DATASET_FILE).is_file():
        with locked(folder / ".lock"):
            if not (folder / DATASET_FILE).is_file():
                (folder / INDEX_FOLDER).mkdir(exist_ok=True)
                for name in columns:
                    _fetch_column(f"{url}/{INDEX_FOLDER}/{name}", checksums[name], folder / INDEX_FOLDER / name, files)
                write_file(folder / DATASET_FILE, contents)
    return folder


def _fetch_column(url: str, checksum: str, target: Path, files: RemoteFiles) -> None:
    """Fetch one column; once more if it is not what was promised: a proxy may have kept an old one."""
    for attempt in range(files.rereads + 1):
        if attempt:
            files.wait(attempt - 1)
        digest = hashlib.sha256()
        try:
            size = files.size(url)
            with new_file(target) as temporary, open(temporary, "wb") as stream:
                stream.writelines(_chunks(url, size, files, digest.update))
        except RemoteError as error:
            raise UserError(f"{url}: cannot be fetched ({error.strerror})") from error
        if digest.hexdigest() == checksum:
            return
    target.unlink()
    raise UserError(f"{url}: not the file that {DATASET_FILE} was written for; copy the dataset there once more")


def _chunks(url: str, size: int, files: RemoteFiles, seen: Callable[[bytes], None]) -> Iterator[bytes]:
    """The file piece by piece, each told to `seen` first."""
    for offset in range(0, size, CHUNK):
        data = files.read(url, offset, min(CHUNK, size - offset))
        files.fetch([])  # let go of it
        seen(data)
        yield data
