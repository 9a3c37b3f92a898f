"""Where raw files are: on disk, or in a zip that is read in place and never unpacked. Both are a `Source`.

`read_bytes` reads either (and so does `zipmap_pl.preprocess.formats.pictures`); `join`, `exists`, `names_in` and `folders_in` do
for both what `pathlib` does for a disk; `find_folders` looks for the folders of scenes in a raw tree of folders and zips.
"""

import os
import posixpath
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.raw import LeftOut, RawFault, RawScene

MAX_BYTES = 1 << 30  # of one raw file in memory; what claims to be larger is not read
OPEN_ZIPS = 4  # kept open by a process; the table of an archive with 100,000 members takes some 60 MB
# What zipfile and its decompressors raise for damaged, encrypted or unknown archives; never for errors of the system.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, KeyError)


@dataclass(frozen=True)
class Zipped:
    """A file or folder in a zip, by its name there; "." is the top."""

    archive: Path
    name: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}".removesuffix("/.")


Source = Path | Zipped


@dataclass(frozen=True)
class Folders:
    """What `find_folders` found.

    Attributes:
        places: name -> every folder of this name, on disk or in a zip, in an order that the file system does not decide.
        unreadable: a scene without frames for each archive of which something cannot be read; it says what.
    """

    places: dict[str, tuple[Source, ...]]
    unreadable: tuple[RawScene, ...]


def read_bytes(source: Source) -> bytes:
    """All bytes of a raw file.

    Raises:
        RawFault: missing, empty, no file, larger than 1 GiB, or a damaged archive. Other errors of the system stay
            what they are.
    """
    data = _read_member(source) if isinstance(source, Zipped) else _read_file(source)
    if not data:
        raise RawFault(source, "empty file")
    return data


def join(folder: Source, name: str) -> Source:
    """The file or folder `name` of a folder. Raises RawFault if the name, which raw data may tell, leads out of it."""
    if _leads_out(name):
        raise RawFault(f"{folder}/{name}", "its name leads out of its folder")
    if isinstance(folder, Zipped):
        return Zipped(folder.archive, posixpath.normpath(f"{folder.name}/{name}"))
    return folder / name


def parent(source: Source) -> Source:
    """The folder that a file or folder lies in."""
    if isinstance(source, Zipped):
        return Zipped(source.archive, posixpath.dirname(source.name) or ".")
    return source.parent


def exists(source: Source) -> bool:
    """Whether there is such a file or folder. Raises RawFault if an archive is unreadable."""
    if isinstance(source, Path):
        return source.exists()
    folders, name = _open(source.archive).folders, source.name
    return name in folders or posixpath.basename(name) in folders.get(posixpath.dirname(name), ())


def names_in(folder: Source) -> list[str]:
    """Names of the files in a folder, sorted; none if there is no such folder. RawFault if an archive is unreadable."""
    if isinstance(folder, Zipped):
        return list(_open(folder.archive).folders.get("" if folder.name == "." else folder.name, ()))
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders_in(folder: Source) -> list[str]:
    """Names of the folders in a folder, sorted; none if there is no such folder. RawFault if an archive is unreadable."""
    if isinstance(folder, Zipped):
        names = (posixpath.split(name) for name in _open(folder.archive).folders if name)
        return sorted(name for above, name in names if above == folder.name)
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


@lru_cache(maxsize=2)  # a tree of pictures, and perhaps one of depth
def find_folders(raw: Path, pattern: re.Pattern[str]) -> Folders:
    """The folders of a raw tree whose whole path fits `pattern`, by what its first group stands for.

    Zips count as folders that lie where the zip lies. What is below such a folder is not looked at. A process looks
    once. Raises UserError if there is no such tree.
    """
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; expected the raw data")
    places: dict[str, list[Source]] = {}
    unreadable = []
    seen: set[str] = set()
    for folder, below, files in os.walk(raw, followlinks=True):
        below.sort()
        real = os.path.realpath(folder)
        if real in seen:  # a link back
            below.clear()
            continue
        seen.add(real)
        if match := pattern.fullmatch(Path(folder).absolute().as_posix()):
            below.clear()
            places.setdefault(match[1], []).append(Path(folder))
            continue
        for archive in (Path(folder, name) for name in sorted(files) if name.lower().endswith(".zip")):
            left_out: tuple[LeftOut, ...] = ()
            try:
                opened = _open(archive)
                left_out = opened.left_out
                for name in sorted(opened.folders):
                    if match := pattern.fullmatch((archive.absolute().parent / name).as_posix()):
                        places.setdefault(match[1], []).append(Zipped(archive, name))
            except RawFault as fault:
                left_out = (LeftOut(fault.file, fault.reason),)
            if left_out:
                unreadable.append(RawScene(archive.relative_to(raw).as_posix(), "train", (), left_out))
    return Folders({name: tuple(places[name]) for name in sorted(places)}, tuple(unreadable))


@lru_cache(maxsize=16)
def places_of(folders: tuple[Source, ...], part: str) -> tuple[Source, ...]:
    """Where a part of a scene is, whose parts lie in several folders or archives: twice, if it was unpacked twice."""
    return tuple(place for folder in folders if exists(place := join(folder, part)))


def found_twice(places: tuple[Source, ...]) -> list[LeftOut]:
    """What is told of all folders of a scene but the first one, which is used."""
    return [LeftOut(str(place), f"found twice; {places[0]} is used") for place in places[1:]]


def _read_file(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise RawFault(file, f"{size} bytes, expected at most {MAX_BYTES}")
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RawFault(file, "missing") from error
    except IsADirectoryError as error:
        raise RawFault(file, "is a folder, expected a file") from error


def _read_member(source: Zipped) -> bytes:
    opened = _open(source.archive)
    if source.name in opened.repeated:
        raise RawFault(source, "two members of the archive have this name")
    try:
        info = opened.zip.getinfo(source.name)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise RawFault(source, "is a link, expected a file")
        if info.file_size > MAX_BYTES:
            raise RawFault(source, f"{info.file_size} bytes, expected at most {MAX_BYTES}")
        return opened.zip.read(info)
    except KeyError as error:
        raise RawFault(source, "missing") from error
    except DAMAGED_ZIP as error:
        raise RawFault(source, f"unreadable in its archive ({str(error) or type(error).__name__})") from error


@dataclass(frozen=True)
class _OpenZip:
    """An open archive.

    Attributes:
        zip: the archive.
        folders: folder -> sorted names of the files in it; every folder on the way to one is there.
        repeated: names of more than one member.
        left_out: members whose names lead out of the archive's folder: they are in no folder.
    """

    zip: zipfile.ZipFile
    folders: dict[str, tuple[str, ...]]
    repeated: frozenset[str]
    left_out: tuple[LeftOut, ...]


def _open(archive: Path) -> _OpenZip:
    try:
        found = archive.stat()
        return _opened(archive, found.st_size, found.st_mtime_ns, os.getpid())
    except FileNotFoundError as error:
        raise RawFault(archive, "missing") from error
    except DAMAGED_ZIP as error:
        raise RawFault(archive, f"unreadable zip ({error})") from error


@lru_cache(maxsize=OPEN_ZIPS)
def _opened(archive: Path, size: int, changed: int, process: int) -> _OpenZip:
    """Kept open per process; an archive that was replaced is opened afresh.

    A process that was forked opens it afresh, too: it would share the place in the file with the other one, and both
    would read nonsense.
    """
    opened = zipfile.ZipFile(archive)
    names = [info.filename for info in opened.infolist() if not info.is_dir()]
    seen: set[str] = set()
    repeated = frozenset(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    folders: dict[str, list[str]] = {}
    for name in sorted(seen):
        folder, file = posixpath.split(name)
        if not _leads_out(name):
            folders.setdefault(folder, []).append(file)
            while folder and (folder := posixpath.dirname(folder)) not in folders:
                folders[folder] = []
    left_out = tuple(
        LeftOut(f"{archive}/{name}", "its name leads out of its folder") for name in sorted(seen) if _leads_out(name)
    )
    return _OpenZip(opened, {folder: tuple(files) for folder, files in folders.items()}, repeated, left_out)


def _leads_out(name: str) -> bool:
    plain = name.replace("\\", "/")
    return plain.startswith("/") or plain[1:2] == ":" or posixpath.normpath(plain).split("/")[0] == ".."
