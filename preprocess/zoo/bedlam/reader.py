"""BEDLAM (version 1): rendered people who move, in 30 render jobs of short videos, 1280x720, depth in centimeters.

    RAW/<job>/
      png/seq_000000/seq_000000_0000.png             8-bit RGB, 30 a second
      depth/seq_000000/seq_000000_0000_depth.exr     "Depth": floats, planar centimeters; 1,000 m and more is the sky
      ground_truth/camera/seq_000000_camera.csv      name of an image, x y z, yaw pitch roll, focal_length, sensor_width, sensor_height

Jobs may lie at any depth, unpacked or in archives, or in several places that have a part each. A scene is <job>/<sequence>; all
are for training. Every fifth image is read (--every), because depth is published for those.

Angles and places are Unreal's: left-handed, x forward, y right, z up, centimeters; angles in degrees. The focal length is in
millimeters and changes from frame to frame.

Left out are jobs whose background has no depth (HDRI), close-ups, which are stored turned, and the sequences that the published
training skips. That training also skips two stadium jobs, whose names begin as an HDRI job's does; their depth is right, and they
are read here. The published preprocessing stops after the first sequence of a job; here all are read.
"""

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
NO_DEPTH = (  # whole names: others begin like these
    "20221010_3_1000_batch01hand",
    "20221017_3_1000_batch01hand",
    "20221018_3-8_250_batch01hand",
    "20221019_3_250_highbmihand",
)
SKIPPED = {
    "20221010_3-10_500_batch01hand_zoom_suburb_d": "11 12 13 23 25 29 42 44 45 59 76 80 81 82 83 84 94 97 105 114 119 122 246 249 251"
    " 267 268 269 283 284 287 290 293 297 308 309 311 316 326 327 332 334 348 352 361 368 373 383 396 419 421 425 434",
    "20221012_3-10_500_batch01hand_zoom_highSchoolGym": "79 486",
    "20221013_3_250_batch01hand_orbit_bigOffice": "120 122 149 161 182 189 192 193 196 207 226",
    "20221013_3_250_batch01hand_static_bigOffice": "15 38",
    "20221014_3_250_batch01hand_orbit_archVizUI3_time15": "86 95 96",
    "20221019_3-8_1000_highbmihand_static_suburb_d": "163 177 250 251 279 283 310 317 322 324 453 752 768 779 785 794 796 800 804 811"
    " 817 818 827 841 842 856 889 890 900 904 907 969 978 982",
    "20221019_3-8_250_highbmihand_orbit_stadium": "3 7 13 16 27 31 36 38 46 62 67 76 85 91 106",
    "20221024_10_100_batch01handhair_zoom_suburb_d": "59 60 64 69 71",
    "20221024_3-10_100_batch01handhair_static_highSchoolGym": "2 4 12 13 17 24 34 43 53 61 63 77 79 82 89 95",
}
EXCLUDED = NO_DEPTH + tuple(f"{job}/seq_{int(k):06d}" for job, skipped in SKIPPED.items() for k in skipped.split())


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


READER = Bedlam
