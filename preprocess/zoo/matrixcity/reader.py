"""The reader; the package says what MatrixCity is."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.exr import read_exr
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.sources import (
    Source,
    find_folders,
    first_holding,
    found_twice,
    join,
    names_in,
    places_of,
    tar_tables,
)
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.matrixcity.cameras import read_cameras

BLOCK = re.compile(r".*/((?:small|big)_city(?:_depth(?:_float32)?)?/(?:aerial|street)/(?:train|test)/[^/]+)")
DEPTHS = ("_depth_float32", "_depth")  # after the city's name, in order of preference
CAMERAS = "transforms.json"
SIZES = {"aerial": (1920, 1080), "street": (1000, 1000)}  # width, height
CHANNELS = ("B", "R", "Y")  # all are equal; the first that is there
CENTIMETERS = np.float32(100.0)  # a meter has
UNKNOWN = np.float32(65504.0)  # the largest half float


INFO = DatasetInfo(
    slug="matrixcity",
    title="MatrixCity",
    licence="CC BY-NC 4.0: not for commercial use",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://huggingface.co/datasets/BoDai/MatrixCity",
    commercial=False,
    raw_size="more than 1 TB (one large block from the air: 86 GB of images)",
)


@dataclass(frozen=True)
class MatrixCity:
    """The reader.

    Attributes:
        raw: folder of the raw data.
    """

    raw: Path = raw_folder("folder of small_city, small_city_depth_float32, ..., unpacked or in tars")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Nothing can be chosen."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """What is in the tars."""
        return tar_tables(self.raw, BLOCK)

    def scenes(self) -> list[RawScene]:
        """One scene per block, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, BLOCK, tars=True)
        blocks = [name for name in found.places if "_depth" not in name.split("/")[0]]
        if not blocks:
            raise UserError(f"{self.raw}: no block <small_city|big_city>/<aerial|street>/<train|test>/<block> in it")
        return [*(self._scene(name) for name in blocks), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an image of the published size."""
        return read_cameras(self._files(scene.name)[0]).camera(int(frame), *SIZES[scene.name.split("/")[1]])

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        number = int(frame)
        image, _ = read_picture(_numbered(self._images(scene.name)[0], number, ".png"))
        depth = read_exr(_numbered(self._depths(scene.name)[0], number, ".exr"), *CHANNELS)
        camera = read_cameras(self._files(scene.name)[0]).camera(number, image.shape[1], image.shape[0])
        return RawFrame(camera, image, depth=np.where(depth == UNKNOWN, np.float32(0), depth / CENTIMETERS))

    def _scene(self, name: str) -> RawScene:
        """Frames are those of transforms.json: other images may be there, too."""
        frames, left_out = tuple[str, ...](), list[LeftOut]()
        try:
            files, images, depths = self._files(name), self._images(name), self._depths(name)
            for places in (files, images, depths):
                left_out += found_twice(places)
            if f"{DEPTHS[0]}/" not in str(depths[0]):
                text = f"half floats: what is farther than 655 m is unknown; _city{DEPTHS[0]} has all of it"
                left_out.append(LeftOut(str(depths[0]), text))
            frames = tuple(f"{number:04d}" for number in sorted(read_cameras(files[0]).poses))
        except RawFault as fault:
            left_out.append(LeftOut(fault.file, fault.reason))
        return RawScene(name, name.split("/")[2], frames, tuple(left_out))

    def _files(self, name: str) -> tuple[Source, ...]:
        """Every file of a block's cameras. Raises RawFault if there is none."""
        return _some(places_of(self._places(name), CAMERAS), self.raw / name / CAMERAS, "missing")

    def _images(self, name: str) -> tuple[Source, ...]:
        """Every folder of a block's images. Raises RawFault if there is none."""
        found = _holding(self._places(name), (name.split("/")[3], "."), ".png")
        return _some(found, self.raw / name, "no images <number>.png in it, or in a tar next to it")

    def _depths(self, name: str) -> tuple[Source, ...]:
        """Every folder of a block's depths of the better kind. Raises RawFault if there is none."""
        city, rest = name.split("/", 1)
        block = name.split("/")[3]
        for kind in DEPTHS:
            places = self._places(f"{city}{kind}/{rest}_depth") + self._places(f"{city}{kind}/{rest}")
            if found := _holding(places, (f"{block}_depth", block, "."), ".exr"):
                return found
        raise RawFault(
            self.raw / f"{city}{DEPTHS[0]}/{rest}_depth", f"no depths <number>.exr in it, nor in {city}{DEPTHS[1]}"
        )

    def _places(self, name: str) -> tuple[Source, ...]:
        return find_folders(self.raw, BLOCK, tars=True).places.get(name, ())


def _some(found: tuple[Source, ...], expected: Path, reason: str) -> tuple[Source, ...]:
    if not found:
        raise RawFault(expected, reason)
    return found


@lru_cache(maxsize=16)
def _holding(places: tuple[Source, ...], insides: tuple[str, ...], ending: str) -> tuple[Source, ...]:
    """Of each place the first folder in it that holds such files."""
    found = (first_holding((join(place, inside) for inside in insides), ending) for place in places)
    return tuple(folder for folder in found if folder)


def _numbered(folder: Source, number: int, ending: str) -> Source:
    """A frame's file, of whose number some blocks write the zeros in front, and some do not."""
    short = f"{number}{ending}"
    return join(folder, short if short in _names(folder) else f"{number:04d}{ending}")


@lru_cache(maxsize=4)
def _names(folder: Source) -> frozenset[str]:
    return frozenset(names_in(folder))
