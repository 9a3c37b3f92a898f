"""GTA-SfM: sequences of a game's world, 640x480, depth in the game's unit. One HDF5 file per sequence.

    RAW/<train|test>/<sequence>.hdf5       or <train|test>_hdf5
      image_<n>                            bytes of a JPEG or PNG
      depth_<n>                            [H, W] planar, in the unit of the poses; not finite = unknown
      K_<n>                                [3, 3] pixels, from the image's corner
      pose_<n>                             [4, 4] camera to world, right-down-forward

Such folders may lie at any depth, or in tars as downloaded, which are read in place. A scene is a file,
<train|test>/<sequence>; its frames are numbered, with gaps. The published training trains on the test sequences, too; here
they are the split `test`. Whether the unit is a meter is not known: the dataset counts as not metric.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.hdf5 import Hdf5, opened
from zipmap_pl.preprocess.formats.pictures import decoded_picture
from zipmap_pl.preprocess.formats.sources import Folders, Source, find_folders, found_twice, join, names_in, tar_tables
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

FOLDER = re.compile(r".*/(train|test)(?:_hdf5)?")
ENDING = ".hdf5"
ARRAY = re.compile(r"(?:image|depth|K|pose)_(\d{1,9})")


INFO = DatasetInfo(
    slug="gta-sfm",
    title="GTA-SfM",
    licence="not stated: the authors' repository names no terms",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=None,
    url="https://github.com/HKUST-Aerial-Robotics/Flow-Motion-Depth",
    commercial=None,
    raw_size="about 25 GB (estimated)",
)


@dataclass(frozen=True)
class GtaSfm:
    """The reader.

    Attributes:
        raw: folder of the raw data.
    """

    raw: Path = raw_folder("folder of train and test")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Nothing can be chosen."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per file, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, FOLDER, tars=True)
        files = _files(found)
        if not files:
            raise UserError(f"{self.raw}: no <train|test>/<sequence>.hdf5 in it")
        return [*(_scene(name, places) for name, places in sorted(files.items())), *found.unreadable]

    def containers(self) -> list[KeptTable]:
        """The tables of all tars."""
        return tar_tables(self.raw, FOLDER)

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera."""
        file = self._file(scene)
        with opened(file) as arrays:
            return _camera(file, arrays, int(frame))

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        file, number = self._file(scene), int(frame)
        with opened(file) as arrays:
            camera = _camera(file, arrays, number)
            encoded = _column(arrays, f"image_{number}")
            depth = arrays.array(f"depth_{number}", "f", (None, None))
        image, jpeg = decoded_picture(file, encoded.tobytes())
        return RawFrame(camera, image, jpeg, depth.astype(np.float32, copy=False))

    def _file(self, scene: RawScene) -> Source:
        places = _files(find_folders(self.raw, FOLDER, tars=True)).get(scene.name)
        if not places:
            raise RawFault(self.raw / f"{scene.name}{ENDING}", "missing")
        return places[0]


def _files(folders: Folders) -> dict[str, list[Source]]:
    """Every file of a sequence, by the name of its scene."""
    files: dict[str, list[Source]] = {}
    for split, places in folders.places.items():
        for place in places:
            for name in names_in(place):
                if name.endswith(ENDING):
                    files.setdefault(f"{split}/{name.removesuffix(ENDING)}", []).append(join(place, name))
    return files


def _scene(name: str, places: list[Source]) -> RawScene:
    """Frames are the numbers that arrays of any of the four kinds have."""
    left_out, numbers = found_twice(tuple(places)), set[int]()
    try:
        with opened(places[0]) as arrays:
            numbers = {int(match[1]) for match in map(ARRAY.fullmatch, arrays.names()) if match}
        if not numbers:
            raise RawFault(places[0], "no arrays image_<n>, depth_<n>, K_<n>, pose_<n> in it")
    except RawFault as fault:
        left_out.append(LeftOut(fault.file, fault.reason))
    return RawScene(name, name.split("/")[0], tuple(f"{number:06d}" for number in sorted(numbers)), tuple(left_out))


def _camera(file: Source, arrays: Hdf5, number: int) -> RawCamera:
    intrinsics, pose = arrays.array(f"K_{number}", "f", (3, 3)), arrays.array(f"pose_{number}", "f", (4, 4))
    return RawCamera(intrinsics.astype(np.float64), pose.astype(np.float64), file)


def _column(arrays: Hdf5, key: str) -> np.ndarray:
    """An array [n] of bytes, which some writers store as [n, 1]."""
    try:
        return arrays.array(key, "u", (None,))
    except RawFault:
        return arrays.array(key, "u", (None, 1))


READER = GtaSfm
