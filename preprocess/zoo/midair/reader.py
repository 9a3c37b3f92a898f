"""The reader of Mid-Air. The package's docstring describes the raw data."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.convert.depth_of import planar
from zipmap_pl.preprocess.formats.hdf5 import opened
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.png_layers import read_half_png
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join
from zipmap_pl.preprocess.formats.trajectories import matrix_of_quaternion
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.midair.records import ENDINGS, flight_of, folders_of, records_of

CLIMATE = re.compile(r".*/((?:Kite|PLE|VO)_(?:training|test)/[^/]+)")
FLIGHT = re.compile(r"trajectory_\d+")
SIDE = 1024
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
        file = records_of(self._places(climate))
        row = flight_of(file, flight).rows[frame]
        vehicle = matrix_of_quaternion(np.array((*row[:3], *row[4:], row[3])))
        cam_to_world = to_opencv(vehicle, "ned")
        cam_to_world[:3, 3] += cameras.multiply(vehicle[:3, :3], np.array(self.lever_arm)[:, None])[:, 0]
        return RawCamera(intrinsics(SIDE, SIDE), cam_to_world, file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        climate, flight = scene.name.rsplit("/", 1)
        camera, places = self.camera(scene, frame), self._places(climate)
        rgb, depth = (join(folders_of(places, part, flight)[0], frame + ending) for part, ending in ENDINGS.items())
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
        file = records_of(places)
        with opened(file) as records:
            flights = [flight for flight in records.names() if FLIGHT.fullmatch(flight)]
    except RawFault as fault:
        return [RawScene(name, _split(name), (), (LeftOut(fault.file, fault.reason),))]
    return [_scene(f"{name}/{flight}", file, places, flight) for flight in flights]


def _scene(name: str, file: Source, places: tuple[Source, ...], flight: str) -> RawScene:
    """Frames are what the records name and have a pose for."""
    frames, left_out = tuple[str, ...](), []
    try:
        records = flight_of(file, flight)
        if records.late:
            left_out.append(LeftOut(str(file), f"{records.late} images of {flight} are later than the last pose"))
        for part in ENDINGS:
            left_out += found_twice(folders_of(places, part, flight))
        frames = tuple(records.rows)
    except RawFault as fault:
        left_out.append(LeftOut(fault.file, fault.reason))
    return RawScene(name, _split(name), frames, tuple(left_out))


def _split(name: str) -> str:
    return "test" if "_test/" in name else "train"
