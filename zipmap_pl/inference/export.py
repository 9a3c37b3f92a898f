"""A scene to files: a folder that is whole or not there, and in it one file or folder per exporter."""

import glob
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.discovery import load
from zipmap_pl.errors import NO_ROOM, UserError
from zipmap_pl.files import HeldElsewhere, owned
from zipmap_pl.inference import exporters
from zipmap_pl.inference.points import USUAL_POINTS, PointChoice, choose_points

ALWAYS = "cameras"
PARTIAL = ".partial"
MARK = ".zipmap-unfinished"  # in a folder that is written to, owned by the process that does
LONGEST_BEGIN = 50  # characters, at most 200 bytes


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write to, which gets the name `path` once the block has ended well and is removed otherwise.

    What killed commands left of their own is removed; nothing of anybody else's is.

    Raises:
        UserError: something is there already, its name is too long, or there is no room.
    """
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise UserError(f"{path}: not empty, expected a new folder for the results; choose another --output")
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        partial = _new_partial(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; choose another --output") from error
    try:
        with owned(partial / MARK, "zipmap reconstruct"):
            yield partial
        (partial / MARK).unlink(missing_ok=True)  # it stays where the file system has no locks
        partial.rename(path)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise UserError(f"{path}: {error.strerror}; make room, or choose another --output") from error
        raise


def _new_partial(path: Path) -> Path:
    """A new folder next to `path`, whose name says what it is for."""
    for number in itertools.count():
        partial = path.with_name(f"{_begin_of_partial(path)}{os.getpid()}-{number}{PARTIAL}")
        try:
            partial.mkdir()
        except FileExistsError:
            continue
        return partial
    raise AssertionError("there is always another number")


def _remove_left_over(path: Path) -> None:
    """Remove folders that commands made for `path` and were killed in: they hold our mark, which nobody owns any more."""
    for left in path.parent.glob(f"{glob.escape(_begin_of_partial(path))}*{PARTIAL}"):
        if (left / MARK).is_file():
            with suppress(HeldElsewhere, OSError), owned(left / MARK, "being removed") as ours:
                if ours:
                    shutil.rmtree(left, ignore_errors=True)


def _begin_of_partial(path: Path) -> str:
    return f".{path.name[:LONGEST_BEGIN]}."


def find_exporters(names: Sequence[str] = exporters.USUAL) -> list[ModuleType]:
    """The exporters of these names, each once and the cameras always. Raises UserError for an unknown name."""
    return [load(exporters, name, "exporter", ["write"]) for name in dict.fromkeys((ALWAYS, *names))]


def write_scene(
    folder: Path, scene: Scene, formats: Sequence[ModuleType], choice: PointChoice = USUAL_POINTS
) -> dict[str, Path]:
    """Let every exporter write below `folder`, which is there. Returns what was written by name.

    Args:
        formats: as `find_exporters` returns them.
        choice: of the point cloud.
    """
    cloud = choose_points(scene, choice)
    written: dict[str, Path] = {}
    for module in formats:
        written |= module.write(folder, scene, cloud)
    return written
