"""The files of a climate of Mid-Air: records, and where the images of a flight lie."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.preprocess.formats.hdf5 import opened
from zipmap_pl.preprocess.formats.sources import Source, Zipped, exists, first_holding, join
from zipmap_pl.preprocess.raw import RawFault

IMAGE = re.compile(r"(?:.*[/\\])?(\d+)\.JPEG")
RECORDS = "sensor_records"
ENDINGS = {"color_left": ".JPEG", "depth": ".PNG"}  # part -> after the frame's number
ROWS_PER_IMAGE = 4  # of the records: 100 Hz and 25 Hz


def records_of(places: tuple[Source, ...]) -> Source:
    """The records of a climate, unpacked or not."""
    for place in places:
        if exists(file := join(place, f"{RECORDS}.hdf5")):
            return file
        if isinstance(archive := join(place, f"{RECORDS}.zip"), Path) and archive.exists():
            return Zipped(archive, f"{RECORDS}.hdf5")
    raise RawFault(join(places[0], f"{RECORDS}.hdf5"), "missing")


@dataclass(frozen=True)
class Flight:
    """What the records have of a flight.

    Attributes:
        rows: frame -> position x, y, z and attitude w, x, y, z of the vehicle when the image was taken.
        late: how many images were taken after the last pose.
    """

    rows: dict[str, np.ndarray]
    late: int


@lru_cache(maxsize=2)
def flight_of(file: Source, flight: str) -> Flight:
    """The records of a flight."""
    step = slice(None, None, ROWS_PER_IMAGE)
    with opened(file) as records:
        images = records.texts(f"{flight}/camera_data/color_left")
        position, attitude = (
            records.array(f"{flight}/groundtruth/{key}", "f", (None, width), step)
            for key, width in (("position", 3), ("attitude", 4))
        )
    matches = [IMAGE.fullmatch(image) for image in images]
    if odd := [image for image, match in zip(images, matches, strict=True) if not match]:
        raise RawFault(file, f"{flight} names the image {odd[0][:60]!r}, expected <number>.JPEG")
    names = [match[1] for match in matches if match]
    if len(set(names)) < len(names):
        raise RawFault(file, f"{flight} names an image twice")
    count = min(len(position), len(attitude))
    rows = np.concatenate((position[:count], attitude[:count]), axis=1).astype(np.float64)
    return Flight(dict(zip(names, rows, strict=False)), max(0, len(names) - count))


@lru_cache(maxsize=8)
def folders_of(places: tuple[Source, ...], part: str, flight: str) -> tuple[Source, ...]:
    """Where images of a flight are: more than one folder if there are copies. Raises RawFault if there is none."""
    folders = [join(place, f"{part}/{flight}") for place in places]
    found = tuple(place for folder in folders if (place := first_holding(_inside(folder), ENDINGS[part])))
    if not found:
        raise RawFault(folders[0], "missing")
    return found


def _inside(folder: Source) -> list[Source]:
    """Where images of a flight may be: the folder itself, `frames` in it, its frames.zip."""
    archive = folder / "frames.zip" if isinstance(folder, Path) else None
    zipped = [Zipped(archive, "."), Zipped(archive, "frames")] if archive and archive.exists() else []
    return [folder, join(folder, "frames"), *zipped]
