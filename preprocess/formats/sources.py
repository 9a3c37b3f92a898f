"""Where raw files are: on disk, or in a zip or tar that is read in place and never unpacked. All are a `Source`.

`read_bytes` reads each (and so does `zipmap_pl.preprocess.formats.pictures`); `join`, `exists`, `names_in` and `folders_in` do
for all what `pathlib` does for a disk; `find_folders` looks for the folders of scenes in a raw tree of folders and archives.
"""

import errno
import io
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.listing import MACOS, OUTSIDE, leads_out
from zipmap_pl.preprocess.formats.raw_file import facts_of
from zipmap_pl.preprocess.formats.tars import DAMAGED_TAR, OpenTar, is_tar, kept_table_of
from zipmap_pl.preprocess.formats.zips import DAMAGED_ZIP, OpenZip
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.raw import LeftOut, RawFault, RawScene

MAX_BYTES = 1 << 30  # of one raw file in memory; what claims to be larger is not read
OPEN_ARCHIVES = 8  # kept open by a process; the table of one with 100,000 members takes some 60 MB


@dataclass(frozen=True)
class Zipped:
    """A file or folder in a zip, by its name there; "." is the top."""

    archive: Path
    name: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}".removesuffix("/.")


@dataclass(frozen=True)
class Tarred:
    """A file or folder in a tar, by its name there. `archive` is a name that `tars.is_tar` knows."""

    archive: Path
    name: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}".removesuffix("/.")


Source = Path | Zipped | Tarred


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
    data = _read_file(source) if isinstance(source, Path) else _read_member(source)
    if not data:
        raise RawFault(source, "empty file")
    return data


class TarMember(io.RawIOBase):
    """A file in a tar, open for reading at any place. It may have any size, and is not compared with its checksum."""

    def __init__(self, source: Tarred) -> None:
        """Raises RawFault as `read_bytes`; so does reading."""
        opened = _open_with(source)
        assert isinstance(opened, OpenTar)
        self._source, self._opened = source, opened
        self._size, self._place = opened.size(source.name), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        wanted = place + (0, self._place, self._size)[whence]
        if wanted < 0:
            raise ValueError(f"place {wanted} is before the start of the file")
        self._place = wanted
        return wanted

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]  # as in `RawFile`
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._place))
        with _damage(self._source):
            view[:count] = self._opened.read_part(self._source.name, self._place, count)
        self._place += count
        return count


def join(folder: Source, name: str) -> Source:
    """The file or folder `name` of a folder. Raises RawFault if the name, which raw data may tell, leads out of it."""
    if leads_out(name):
        raise RawFault(f"{folder}/{name}", OUTSIDE)
    if isinstance(folder, Path):
        return folder / name
    return type(folder)(folder.archive, posixpath.normpath(f"{folder.name}/{name}"))


def parent(source: Source) -> Source:
    """The folder that a file or folder lies in."""
    if isinstance(source, Path):
        return source.parent
    return type(source)(source.archive, posixpath.dirname(source.name) or ".")


def exists(source: Source) -> bool:
    """Return True if there is such a file or folder. Raises RawFault if an archive is unreadable."""
    if isinstance(source, Path):
        return source.exists()
    folders, name = _open(source).listing.folders, _inside(source)
    return name in folders or posixpath.basename(name) in folders.get(posixpath.dirname(name), ())


def names_in(folder: Source) -> list[str]:
    """Names of the files in a folder, sorted; none if there is no such folder. RawFault if an archive is unreadable.

    Names with a leading dot are passed over: macOS writes `._NAME` next to every file of some disks and archives.
    """
    if not isinstance(folder, Path):
        names = _open(folder).listing.folders.get(_inside(folder), ())
        return [name for name in names if not name.startswith(".")]
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not (entry.name.startswith(".") or entry.is_dir()))
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders_in(folder: Source) -> list[str]:
    """Names of the folders in a folder, sorted; none if there is no such folder. RawFault if an archive is unreadable."""
    if not isinstance(folder, Path):
        names = (posixpath.split(name) for name in _open(folder).listing.folders if name)
        return sorted(name for above, name in names if above == _inside(folder))
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def first_holding(folders: Iterable[Source], ending: str) -> Source | None:
    """The first of these folders that holds a file whose name ends so. RawFault if an archive is unreadable."""
    return next((folder for folder in folders if any(name.endswith(ending) for name in names_in(folder))), None)


@lru_cache(maxsize=2)  # a tree of pictures, and perhaps one of depth
def find_folders(raw: Path, pattern: re.Pattern[str], tars: bool = False) -> Folders:
    """The folders of a raw tree whose whole path fits `pattern`, by what its first group stands for.

    Zips count as folders that lie where the zip lies. What is below such a folder is not looked at. A process looks
    once. Raises UserError if there is no such tree.

    Args:
        raw: top of the tree.
        pattern: of whole paths, with `/` between names.
        tars: tars count like zips. Going through a plain one costs a read per member; a compressed one is decompressed.
    """
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; expected the raw data")
    places: dict[str, list[Source]] = {}
    unreadable = []
    for folder, match, files in _tree(raw, pattern):
        if match:
            places.setdefault(match[1], []).append(folder)
        for archive in _archives(folder, files, tars):
            left_out: tuple[LeftOut, ...] = ()
            try:
                listing = _open(archive).listing
                left_out = listing.left_out
                for name in sorted(listing.folders):
                    if match := pattern.fullmatch((archive.archive.absolute().parent / name).as_posix()):
                        places.setdefault(match[1], []).append(type(archive)(archive.archive, name))
            except RawFault as fault:
                left_out = (LeftOut(fault.file, fault.reason),)
            if left_out:
                unreadable.append(RawScene(archive.archive.relative_to(raw).as_posix(), "train", (), left_out))
    return Folders({name: tuple(places[name]) for name in sorted(places)}, tuple(unreadable))


def tar_tables(raw: Path, pattern: re.Pattern[str]) -> list[KeptTable]:
    """The tables of the tars that `find_folders` opens: `containers()` of a reader of tars. None of one that lacks a part."""
    tables = []
    for folder, _, files in _tree(raw, pattern):
        for name in sorted(filter(is_tar, files)):
            with suppress(RawFault):  # reported when it is opened
                tables.append(kept_table_of(folder / name))
    return tables


def _tree(top: Path, leaf: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str] | None, list[str]]]:
    """Every folder of a tree, whether it is a leaf, and the names of its files: folders by name, each before what is below it.

    Links are followed, and a folder with several of them comes once. A folder whose whole path fits `leaf` is not looked
    into, so that 100,000 scenes cost a `stat` each.
    """
    whole = top.absolute().as_posix().rstrip("/")
    waiting, seen = [""], set()
    while waiting:
        below = waiting.pop()
        path = whole + below or "/"
        match = leaf.fullmatch(path)
        folders: list[str] = []
        files: list[str] = []
        try:
            facts = os.stat(path)
            if (facts.st_dev, facts.st_ino) in seen:  # a link back
                continue
            seen.add((facts.st_dev, facts.st_ino))
            if not match:
                with os.scandir(path) as entries:
                    for entry in entries:
                        if entry.name != MACOS:
                            (folders if _is_folder(entry) else files).append(entry.name)
        except (PermissionError, FileNotFoundError, NotADirectoryError):
            continue  # not for us: lost+found, say; or removed meanwhile
        except OSError as error:
            if error.errno == errno.ELOOP:  # links in a circle
                continue
            raise  # of a disk that fails: scenes would be lost without a word
        yield top / below[1:], match, files
        waiting += [f"{below}/{name}" for name in sorted(folders, reverse=True)]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


@lru_cache(maxsize=16)
def places_of(folders: tuple[Source, ...], part: str) -> tuple[Source, ...]:
    """Where a part of a scene is, whose parts lie in several folders or archives: twice, if it was unpacked twice."""
    return tuple(place for folder in folders if exists(place := join(folder, part)))


def _archives(folder: Path, files: list[str], tars: bool) -> list[Zipped | Tarred]:
    """The archives among the files of a folder: their tops."""
    zips = [Zipped(folder / name, ".") for name in files if name.lower().endswith(".zip")]
    others = [Tarred(folder / name, ".") for name in files if is_tar(name)] if tars else []
    return sorted((*zips, *others), key=lambda top: top.archive.name)


def found_twice(places: tuple[Source, ...]) -> list[LeftOut]:
    """What is told of all folders of a scene but the first one, which is used."""
    return [LeftOut(str(place), f"found twice; {places[0]} is used") for place in places[1:]]


def _read_file(file: Path) -> bytes:
    size = facts_of(file).st_size
    if size > MAX_BYTES:
        raise RawFault(file, f"{size} bytes, expected at most {MAX_BYTES}")
    return file.read_bytes()


def _read_member(source: Zipped | Tarred) -> bytes:
    opened = _open_with(source)
    with _damage(source):
        if (size := opened.size(source.name)) > MAX_BYTES:
            raise RawFault(source, f"{size} bytes, expected at most {MAX_BYTES}")
        return opened.read(source.name)


def _open_with(source: Zipped | Tarred) -> OpenZip | OpenTar:
    """The archive of a member. Raises RawFault if there is no such member, or if it is no file."""
    opened = _open(source)
    if source.name in opened.listing.repeated:
        raise RawFault(source, "two members of the archive have this name")
    if source.name not in opened.listing.members:
        raise RawFault(source, "missing")
    with _damage(source):
        if not opened.is_file(source.name):
            raise RawFault(source, "is a link, expected a file")
    return opened


@contextmanager
def _damage(source: Zipped | Tarred) -> Iterator[None]:
    """Raise RawFault for what damaged archives raise."""
    try:
        yield
    except (*DAMAGED_ZIP, *DAMAGED_TAR) as error:
        raise RawFault(source, f"unreadable in its archive ({str(error) or type(error).__name__})") from error


def _inside(source: Zipped | Tarred) -> str:
    """A folder's name as its archive's listing has it: the top has none."""
    return "" if source.name == "." else source.name


def _open(source: Zipped | Tarred) -> OpenZip | OpenTar:
    kind = "zip" if isinstance(source, Zipped) else "tar"
    try:
        found = facts_of(source.archive)
        return _opened(isinstance(source, Zipped), source.archive, found.st_size, found.st_mtime_ns, os.getpid())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RawFault(source.archive, "missing") from error
    except (*DAMAGED_ZIP, *DAMAGED_TAR) as error:
        raise RawFault(source.archive, f"unreadable {kind} ({str(error) or type(error).__name__})") from error


@lru_cache(maxsize=OPEN_ARCHIVES)
def _opened(zipped: bool, archive: Path, size: int, changed: int, process: int) -> OpenZip | OpenTar:
    """Kept open per process; an archive that was replaced is opened afresh.

    A process that was forked opens it afresh, too: it would share the place in the file with the other one, and both
    would read nonsense.
    """
    return OpenZip(archive) if zipped else OpenTar(archive, kept_table_of(archive).read())
