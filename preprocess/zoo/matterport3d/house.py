"""The text files of a house of Matterport3D: images and cameras (.conf), and overlaps."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.formats.text_rows import text_rows
from zipmap_pl.preprocess.raw import RawFault


@dataclass(frozen=True)
class Scan:
    """One image as the .conf has it: names of its files, camera_to_world [4, 4] with OpenGL's axes, fx fy cx cy [4]."""

    color: str
    depth: str
    cam_to_world: np.ndarray
    intrinsics: np.ndarray


@lru_cache(maxsize=2)
def read_conf(file: Source) -> dict[str, Scan]:
    """The images of a house by name, in order. Raises RawFault; numbers may be NaN."""
    scans, intrinsics = dict[str, Scan](), None
    for number, line in enumerate(text_rows(file), start=1):
        command, *words = line.split() or [""]
        try:
            if command == "intrinsics_matrix":
                intrinsics = np.array([float(word) for word in words]).reshape(3, 3)[(0, 1, 0, 1), (0, 1, 2, 2)]
            elif command == "scan":
                depth, color, *values = words
                if intrinsics is None:
                    raise ValueError("no intrinsics_matrix before it")
                pose = np.array([float(value) for value in values]).reshape(4, 4)
                name = PurePosixPath(color).stem
                if name in scans:
                    raise ValueError(f"a second image called {name}")
                scans[name] = Scan(color, depth, pose, intrinsics)
        except ValueError as error:
            raise RawFault(file, f"line {number}: {error}") from error
    if not scans:
        raise RawFault(file, "holds no scan")
    return scans


@lru_cache(maxsize=2)
def read_overlaps(file: Source, names: tuple[str, ...]) -> dict[str, tuple[tuple[str, float], ...]]:
    """Overlaps of each image by its name, both ways; what is as good as the same image is left out. Raises RawFault."""
    given: dict[str, dict[str, float]] = {}
    for number, line in enumerate(text_rows(file), start=1):
        words = line.split()
        if words[:1] != ["II"]:
            continue
        try:
            one, other, share = int(words[1]), int(words[2]), float(words[3])
            if not (0 <= one < len(names) and 0 <= other < len(names)):
                raise ValueError
        except (ValueError, IndexError) as error:
            text = f"line {number} is {line[:60]!r}, expected II, two of {len(names)} images, their overlap"
            raise RawFault(file, text) from error
        if one != other and 0 < share < 1:
            given.setdefault(names[one], {})[names[other]] = share
            given.setdefault(names[other], {})[names[one]] = share
    return {name: tuple(seen.items()) for name, seen in given.items()}
