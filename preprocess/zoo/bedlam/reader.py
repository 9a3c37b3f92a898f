"""The reader of BEDLAM. The package's docstring describes the raw data."""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import unreal_pose
from zipmap_pl.preprocess.formats.exr import read_exr
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.sources import (
    Source,
    find_folders,
    folders_in,
    found_twice,
    join,
    names_in,
    parent,
    places_of,
    tar_tables,
)
from zipmap_pl.preprocess.formats.tables import number_of, read_csv
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.bedlam.excluded import EXCLUDED

log = logging.getLogger(__name__)

PART = re.compile(r".*/(\d{8}[_-][^/]*hand[^/]*)/(?:png|depth|ground_truth|masks)")  # dates end in _ or -
SEQUENCE = re.compile(r"seq_\d{6}")
CAMERAS = "ground_truth/camera/{}_camera.csv"
PLACE, LENS = ("x", "y", "z", "yaw", "pitch", "roll"), ("focal_length", "sensor_width", "sensor_height")
WIDTH, HEIGHT = 1280, 720
EVERY = 5  # depth is published for these numbers
CENTIMETERS = np.float32(100.0)  # a meter has
FAR = 1000.0  # meters; from here on it is the sky
CLOSE_UP = "closeup"

INFO = DatasetInfo(
    slug="bedlam",
    title="BEDLAM (version 1)",
    licence="Max Planck licence for non-commercial scientific research; registration needed",
    kind="dynamic",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://bedlam.is.tue.mpg.de",
    commercial=False,
    raw_size="not known",
)


@dataclass(frozen=True)
class Bedlam:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        every: images whose number is a multiple of this are read.
        exclude: jobs and sequences (<job>/seq_000011) that are not read.
    """

    raw: Path = raw_folder("folder of render jobs, unpacked or in archives")
    every: int = option(
        EVERY,
        "read images whose number is a multiple of N (default: %(default)s, as in the published training); without depth,"
        " only multiples of 5",
        metavar="N",
    )
    exclude: tuple[str, ...] = option(
        EXCLUDED,
        "jobs and sequences (<job>/seq_000011) that are not read (default: those that the published training skips by name)",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"--every {self.every}: expected 1 or more")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which images, and what is not read."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per sequence, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, PART, tars=True)
        jobs = [job for job in found.places if job not in self.exclude and CLOSE_UP not in job]
        sequences = [f"{job}/{sequence}" for job in jobs for sequence in self._sequences(job)]
        kept = [name for name in sequences if name not in self.exclude]
        if not kept:
            raise UserError(f"{self.raw}: no <job>/png/seq_<nnnnnn> of a render job that is read (see --exclude)")
        text = "%s: %d jobs and %d single sequences left out: close-ups, and what --exclude names"
        log.info(text, self.raw, len(found.places) - len(jobs), len(sequences) - len(kept))
        return [*(self._scene(name) for name in kept), *found.unreadable]

    def containers(self) -> list[KeptTable]:
        """The tables of tars."""
        return tar_tables(self.raw, PART)

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an image of the published size."""
        return self._camera(scene, frame, HEIGHT, WIDTH)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        job, sequence = scene.name.split("/")
        image, _ = read_picture(join(self._part(job, f"png/{sequence}"), f"{sequence}_{frame}.png"))
        file = join(self._part(job, f"depth/{sequence}"), f"{sequence}_{frame}_depth.exr")
        depth = read_exr(file, "Depth") / CENTIMETERS
        return RawFrame(self._camera(scene, frame, *image.shape[:2]), image, depth=depth, sky=depth >= FAR)

    def _camera(self, scene: RawScene, frame: str, height: int, width: int) -> RawCamera:
        """The camera of an image of this size, by the image's name in the table of its sequence."""
        job, sequence = scene.name.split("/")
        file = self._part(job, CAMERAS.format(sequence))
        row = _rows(file).get(f"{sequence}_{frame}.png")
        if row is None:
            raise RawFault(file, "no row for an image")
        *location, yaw, pitch, roll = (number_of(file, name, row[name]) for name in PLACE)
        focal, across, down = (number_of(file, name, row[name], low=1e-3) for name in LENS)
        intrinsics = np.array((focal / across * width, focal / down * height, width / 2, height / 2))
        pose = unreal_pose(np.array(location), yaw, pitch, roll)
        return RawCamera(cameras.intrinsics_matrix(intrinsics), pose, file)

    def _scene(self, name: str) -> RawScene:
        """Frames are the numbers that images and depths have between them, if they are multiples of --every."""
        job, sequence = name.split("/")
        left_out, found = list[LeftOut](), list[set[int]]()
        for part, pattern in (
            (f"png/{sequence}", rf"{sequence}_(\d{{4,}})\.png"),
            (f"depth/{sequence}", rf"{sequence}_(\d{{4,}})_depth\.exr"),
            (CAMERAS.format(sequence), ""),
        ):
            places = self._places(job, part)
            left_out += found_twice(places)
            if not places:
                left_out.append(LeftOut(str(self.raw / job / part), "missing, in every folder and archive"))
            else:
                matches = (re.fullmatch(pattern, file) for file in names_in(places[0]))
                found.append({int(match[1]) for match in matches if match and pattern})
        if len(found) < 3:
            return RawScene(name, "train", (), tuple(left_out))
        images, depths, _ = found
        wanted = {k for k in images | depths if k % self.every == 0 and (k % EVERY == 0 or k in depths)}
        return RawScene(name, "train", tuple(f"{k:04d}" for k in sorted(wanted)), tuple(left_out))

    def _sequences(self, job: str) -> list[str]:
        places = (*self._places(job, "png"), *self._places(job, "depth"))
        return sorted({name for place in places for name in folders_in(place) if SEQUENCE.fullmatch(name)})

    def _part(self, job: str, part: str) -> Source:
        """The folder or file of a job that is used."""
        places = self._places(job, part)
        if not places:
            raise RawFault(self.raw / job / part, "missing")
        return places[0]

    def _places(self, job: str, part: str) -> tuple[Source, ...]:
        parts = find_folders(self.raw, PART, tars=True).places.get(job, ())
        return places_of(tuple(dict.fromkeys(parent(place) for place in parts)), part)


@lru_cache(maxsize=2)
def _rows(file: Source) -> dict[str, dict[str, str]]:
    """The cameras of a sequence by the name of the image: other images than those of the folder are there, too."""
    return {row["name"]: row for row in read_csv(file, "name", *PLACE, *LENS)}
