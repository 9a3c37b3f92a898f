"""Mid-Air: synthetic drone flights in several climates, 1024x1024, distance in meters. Only the left camera is read.

    RAW/<Kite|PLE|VO>_<training|test>/<climate>/
      sensor_records.hdf5                  or sensor_records.zip, as downloaded
        trajectory_<nnnn>/
          groundtruth/position, attitude   100 Hz, the vehicle: meters, and w x y z; north, east, down
          camera_data/color_left           25 Hz: names of the images; image k was taken at row 4k
      color_left/trajectory_<nnnn>/000000.JPEG   8-bit RGB
      depth/trajectory_<nnnn>/000000.PNG         16 bits of a half float: meters along the ray; 1,000 m and more is the sky

Images may lie in the trajectory's folder, in a folder `frames` in it, or in its frames.zip as downloaded, which is read in
place. A scene is a flight in one climate, <set>/<climate>/trajectory_<nnnn>. Test sets are the split `test`.

The published training takes the vehicle's position for the camera's, which is half a meter in front of it: relative poses
are wrong by decimeters in turns. Here the camera is where the authors say it is (--lever-arm none does as published), and
distances become planar depth at the pixels' centers.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.convert.depth_of import planar
from zipmap_pl.preprocess.formats.hdf5 import opened
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.png_layers import read_half_png
from zipmap_pl.preprocess.formats.sources import Source, Zipped, exists, find_folders, first_holding, found_twice, join
from zipmap_pl.preprocess.formats.trajectories import matrix_of_quaternion
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

CLIMATE = re.compile(r".*/((?:Kite|PLE|VO)_(?:training|test)/[^/]+)")
FLIGHT = re.compile(r"trajectory_\d+")
IMAGE = re.compile(r"(?:.*[/\\])?(\d+)\.JPEG")
RECORDS = "sensor_records"
ENDINGS = {"color_left": ".JPEG", "depth": ".PNG"}  # part -> after the frame's number
SIDE = 1024
ROWS_PER_IMAGE = 4  # of the records: 100 Hz and 25 Hz
FAR = 1000.0  # meters; from here on it is the sky
LEVER_ARM = (0.5, 0.0, 0.0)  # meters from the vehicle to the left camera: forward, right, down


INFO = DatasetInfo(
    slug="midair",
    title="Mid-Air",
    licence="CC BY-NC-SA 4.0: non-commercial, share alike (not verified: the download page has the terms)",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://midair.ulg.ac.be",
    commercial=False,
    raw_size="about 300 GB: left images and depth",
)


def lever_arm(text: str) -> tuple[float, ...]:
    """`parse` of --lever-arm: three numbers with commas between them, or "none"."""
    values = (0.0, 0.0, 0.0) if text == "none" else tuple(float(word) for word in text.split(","))
    if len(values) != 3 or not np.isfinite(values).all():
        raise ValueError("expected three numbers")
    return values


@dataclass(frozen=True)
class MidAir:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        lever_arm: where the camera is in the vehicle, meters forward, right, down.
    """

    raw: Path = raw_folder("folder of Kite_training, PLE_training, ...")
    lever_arm: tuple[float, ...] = option(
        LEVER_ARM,
        "camera's place in the vehicle, meters forward, right, down (default: %(default)s);"
        " none = as in the published training",
        metavar="X,Y,Z",
        parse=lever_arm,
        recorded=list,
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Where the camera is in the vehicle."""
        return settings_of(self)

    def alternatives(self) -> dict[str, "MidAir"]:
        """The other place of the camera."""
        other, text = ((0.0, 0.0, 0.0), "none") if any(self.lever_arm) else (LEVER_ARM, ",".join(map(str, LEVER_ARM)))
        return {f"--lever-arm {text}": replace(self, lever_arm=other)}

    def scenes(self) -> list[RawScene]:
        """One scene per flight and climate, sorted by name. Raises UserError if there is no climate."""
        found = find_folders(self.raw, CLIMATE)
        if not found.places:
            raise UserError(f"{self.raw}: no folder <Kite|PLE|VO>_<training|test>/<climate> in it")
        scenes = [scene for name, places in found.places.items() for scene in _of_climate(name, places)]
        return [*scenes, *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an image of the published size."""
        climate, flight = scene.name.rsplit("/", 1)
        file = _records(self._places(climate))
        row = _flight(file, flight).rows[frame]
        vehicle = matrix_of_quaternion(np.array((*row[:3], *row[4:], row[3])))
        cam_to_world = to_opencv(vehicle, "ned")
        cam_to_world[:3, 3] += cameras.multiply(vehicle[:3, :3], np.array(self.lever_arm)[:, None])[:, 0]
        return RawCamera(intrinsics(SIDE, SIDE), cam_to_world, file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        climate, flight = scene.name.rsplit("/", 1)
        camera, places = self.camera(scene, frame), self._places(climate)
        rgb, depth = (join(_folders(places, part, flight)[0], frame + ending) for part, ending in ENDINGS.items())
        image, jpeg = read_picture(rgb)
        camera = replace(camera, intrinsics=intrinsics(image.shape[1], image.shape[0]))
        distance = read_half_png(depth)
        return RawFrame(camera, image, jpeg, planar(distance, camera.intrinsics), sky=distance >= FAR)

    def _places(self, climate: str) -> tuple[Source, ...]:
        places = find_folders(self.raw, CLIMATE).places.get(climate)
        if not places:
            raise RawFault(self.raw / climate, "missing")
        return places


def intrinsics(width: int, height: int) -> np.ndarray:
    """[3, 3] of an image of this size: 90 degrees wide, square pixels, centered."""
    return cameras.intrinsics_matrix(np.array((width / 2, width / 2, width / 2, height / 2)))


def _of_climate(name: str, places: tuple[Source, ...]) -> list[RawScene]:
    """The flights that the records of a climate name."""
    try:
        file = _records(places)
        with opened(file) as records:
            flights = [flight for flight in records.names() if FLIGHT.fullmatch(flight)]
    except RawFault as fault:
        return [RawScene(name, _split(name), (), (LeftOut(fault.file, fault.reason),))]
    return [_scene(f"{name}/{flight}", file, places, flight) for flight in flights]


def _scene(name: str, file: Source, places: tuple[Source, ...], flight: str) -> RawScene:
    """Frames are what the records name and have a pose for."""
    frames, left_out = tuple[str, ...](), []
    try:
        records = _flight(file, flight)
        if records.late:
            left_out.append(LeftOut(str(file), f"{records.late} images of {flight} are later than the last pose"))
        for part in ENDINGS:
            left_out += found_twice(_folders(places, part, flight))
        frames = tuple(records.rows)
    except RawFault as fault:
        left_out.append(LeftOut(fault.file, fault.reason))
    return RawScene(name, _split(name), frames, tuple(left_out))


def _split(name: str) -> str:
    return "test" if "_test/" in name else "train"


def _records(places: tuple[Source, ...]) -> Source:
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
def _flight(file: Source, flight: str) -> Flight:
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
def _folders(places: tuple[Source, ...], part: str, flight: str) -> tuple[Source, ...]:
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


READER = MidAir
