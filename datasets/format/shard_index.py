"""The index of a dataset in shards: memory-mapped columns over all its frames, scenes and shards."""

import os
from dataclasses import replace
from pathlib import Path
from tokenize import TokenError

import numpy as np

from zipmap_pl.datasets.format.dataset_file import parse_dataset_file
from zipmap_pl.datasets.format.remote_index import MissingDataset, fetch_index
from zipmap_pl.datasets.format.schema import (
    DATASET_FILE,
    FRAME_COLUMNS,
    FRAME_TEXT_COLUMNS,
    INDEX_FOLDER,
    PLAN_FOLDER,
    SCENE_COLUMNS,
    SCENE_TEXT_COLUMNS,
    SCHEMA_VERSION,
    SHARD_TEXT_COLUMNS,
    SINCE_SCHEMA_4,
    UNIT_SOURCES,
)
from zipmap_pl.datasets.remote.remote_files import RemoteConfig, RemoteFiles, is_url
from zipmap_pl.errors import UserError

NUMBER_COLUMNS = {**FRAME_COLUMNS, **SCENE_COLUMNS}
# What numpy says of a column whose first bytes are damaged.
BROKEN_HEADER = (ValueError, EOFError, TokenError, SyntaxError, TypeError, KeyError, OverflowError, MemoryError)
TEXT_COLUMNS = (*FRAME_TEXT_COLUMNS, *SCENE_TEXT_COLUMNS, *SHARD_TEXT_COLUMNS)


def column_files(info: dict | None = None) -> list[str]:
    """File names of all columns below the index folder, in a fixed order; with the contents of a dataset.json, those that
    its schema version has."""
    texts = [f"{name}.{kind}.npy" for name in TEXT_COLUMNS for kind in ("bytes", "offsets")]
    return sorted([f"{name}.npy" for name in NUMBER_COLUMNS if not _too_new(name, info)] + texts)


def _too_new(name: str, info: dict | None) -> bool:
    return info is not None and info["schema_version"] < SCHEMA_VERSION and name in SINCE_SCHEMA_4


def pack_text(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Text as (bytes uint8, offsets int64 [n + 1])."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def unpack_text(data: np.ndarray, offsets: np.ndarray, row: int) -> str:
    """Row `row` of `pack_text`."""
    return bytes(data[offsets[row] : offsets[row + 1]]).decode()


class ShardIndex:
    """A dataset folder's index: `index["frame.intrinsics"]` is a memory-mapped, read-only array, see `schema.py`.

    Cheap to send to another process: only the folder travels, the columns are mapped again there.

    Attributes:
        folder: the dataset folder; of a dataset behind a URL the local folder that its index was fetched to.
        location: where the shards are: the folder, or the URL.
        info: the contents of dataset.json.
        columns: name -> memory-mapped array, one row per frame or scene.
    """

    def __init__(self, folder: Path, info: dict, location: str | None = None) -> None:
        self.folder = folder
        self.location = str(folder) if location is None else location
        self.info = info
        self._sizes = {name: _size(folder, name) for name in column_files(info)}
        self.columns = {name: _map(folder, f"{name}.npy") for name in NUMBER_COLUMNS if not _too_new(name, info)}
        for name in NUMBER_COLUMNS.keys() - self.columns.keys():
            self.columns[name] = np.broadcast_to(np.zeros((), NUMBER_COLUMNS[name][0]), self.frame_count)
        self._texts = {
            name: (_map(folder, f"{name}.bytes.npy"), _map(folder, f"{name}.offsets.npy")) for name in TEXT_COLUMNS
        }
        self._check()

    @classmethod
    def open(cls, location: str | os.PathLike, remote: RemoteConfig | None = None) -> "ShardIndex":
        """Map the columns of a complete dataset, in a folder or behind a URL (see `remote_index`).

        Raises:
            MissingDataset: it is not there, or not complete.
            UserError: it is damaged, too new, or cannot be fetched.
        """
        if is_url(str(location)):
            url = str(location).rstrip("/")
            files = RemoteFiles(replace(remote or RemoteConfig(), cache_gigabytes=0.0))
            return cls._mapped(fetch_index(url, column_files, parse_dataset_file, files), url)
        folder = Path(location)
        if not (folder / DATASET_FILE).is_file():
            raise MissingDataset(f"{folder}: {_why_no_dataset(folder)}")
        return cls._mapped(folder)

    @classmethod
    def _mapped(cls, folder: Path, location: str | None = None) -> "ShardIndex":
        """The index of a local folder, whose shards may be elsewhere."""
        file = folder / DATASET_FILE
        return cls(folder, parse_dataset_file(file.read_bytes(), str(file)), location)

    def __reduce__(self) -> tuple:
        return (ShardIndex._mapped, (self.folder, self.location))

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    @property
    def frame_count(self) -> int:
        """Number of frames written."""
        return len(self.columns["frame.scene"])

    @property
    def scene_count(self) -> int:
        """Number of planned scenes; one whose frames are all faulty has a frame count of 0."""
        return len(self.columns["scene.split"])

    @property
    def shard_count(self) -> int:
        """Number of shards of all splits."""
        return len(self._texts["shard.path"][1]) - 1

    @property
    def splits(self) -> list[str]:
        """Names that scene.split counts."""
        return self.info["splits"]

    def text(self, column: str, row: int) -> str:
        """One value of a text column: frame.name, scene.name, shard.path or shard.sha256."""
        return unpack_text(*self._texts[column], row)

    def scene_rows(self, scene: int) -> range:
        """Frame rows of a scene, in order."""
        first = int(self["scene.first_frame"][scene])
        return range(first, first + int(self["scene.frame_count"][scene]))

    def sample_name(self, row: int) -> str:
        """The frame by its original names, for messages: <scene>/<frame>."""
        return f"{self.text('scene.name', int(self['frame.scene'][row]))}/{self.text('frame.name', row)}"

    def metres(self, scene: int) -> tuple[float, str]:
        """What turns a scene's normalised lengths into (factor, "m"), or (1, "units") where the dataset is not metric."""
        metres = float(self["scene.metres_per_unit"][scene])
        return (metres, "m") if np.isfinite(metres) else (1.0, "units")

    def unit_text(self, scene: int) -> str:
        """The unit of a scene for people, for example "1.86 m (median depth)"."""
        metres, name = self.metres(scene)
        length = f"{metres:.3g} m" if name == "m" else f"{float(self['scene.unit'][scene]):.3g} raw units"
        return f"{length} ({UNIT_SOURCES[int(self['scene.unit_source'][scene])]})"

    @property
    def remote(self) -> bool:
        """Whether the shards lie behind a URL."""
        return is_url(self.location)

    def shard_location(self, shard: int) -> str:
        """Path or URL of a shard."""
        return f"{self.location}/{self.text('shard.path', shard)}"

    def shard_file(self, shard: int) -> Path:
        """Path of a shard on a disk. Raises UserError for a dataset behind a URL."""
        if self.remote:
            raise UserError(
                f"{self.location}: lies behind a URL, expected a folder; copy the dataset to a disk for this"
            )
        return self.folder / self.text("shard.path", shard)

    def lost(self) -> str | None:
        """What became of a column that is shorter now than when it was mapped, in a line; None if none is.

        Reading on in it ends the process with a bus error.
        """
        for name, size in self._sizes.items():
            now = _size(self.folder, name)
            if now is not None and size is not None and now < size:
                return (
                    f"{self.folder / INDEX_FOLDER / name}: has {now} bytes, {size} when this run opened it; something"
                    f" else writes there. When that is done, `zipmap shards finish {self.folder}` writes the index again"
                )
        return None

    def _check(self) -> None:
        """Columns have the types, row shapes and lengths of the schema."""
        for name, (dtype, shape) in NUMBER_COLUMNS.items():
            column = self.columns[name]
            rows = self.frame_count if name.startswith("frame.") else self.scene_count
            if column.dtype != dtype or column.shape != (rows, *shape):
                raise UserError(
                    f"{self.folder / INDEX_FOLDER / name}.npy: {column.dtype}{list(column.shape)}, expected"
                    f" {np.dtype(dtype)}{[rows, *shape]};"
                    f" `zipmap shards finish {self.folder}` writes it again"
                )


def _why_no_dataset(folder: Path) -> str:
    """Why a folder without dataset.json is no dataset that can be read, and what to do."""
    make = f"make one with `zipmap preprocess NAME ... --output {folder}`"
    if not folder.exists():
        return f"no such folder, expected a dataset in shards; {make}"
    if not folder.is_dir():
        return f"is a file, expected the folder of a dataset in shards (the one that holds {DATASET_FILE})"
    if (folder / PLAN_FOLDER).is_dir():
        return (
            f"no {DATASET_FILE}, so preprocessing is not complete; run its `zipmap preprocess` again"
            f" or, if all parts are done, `zipmap shards finish {folder}`"
        )
    if any(folder.iterdir()):
        return (
            f"no {DATASET_FILE}, so this is no dataset in shards; if it holds raw data, make shards of them with"
            f" `zipmap preprocess NAME {folder} --output shards/{folder.resolve().name}`"
        )
    return f"no {DATASET_FILE}, so this is no dataset in shards; {make}"


def _size(folder: Path, name: str) -> int | None:
    """Bytes of a column; None if it is not there."""
    try:
        return (folder / INDEX_FOLDER / name).stat().st_size
    except OSError:
        return None


def _map(folder: Path, name: str) -> np.ndarray:
    """Map one column without ever unpickling; as a plain array, because single rows of a memmap are slow to get."""
    file = folder / INDEX_FOLDER / name
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, *BROKEN_HEADER) as error:
        raise UserError(f"{file}: missing or damaged; `zipmap shards finish {folder}` writes it again") from error
    return np.asarray(array)
