"""A scene to files: a folder that is whole or not there, and in it one file or folder per exporter."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.discovery import load
from zipmap_pl.errors import NO_ROOM, UserError
from zipmap_pl.inference import exporters
from zipmap_pl.inference.points import USUAL_POINTS, PointChoice, choose_points

ALWAYS = "cameras"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write to, which gets the name `path` once the block has ended well and is removed otherwise.

    Raises:
        UserError: something is there already, or there is no room.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path}: not empty, expected a new folder for the results; choose another --output")
    path = path.resolve()
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise UserError(f"{path}: {error.strerror}; make room, or choose another --output") from error
        raise


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
