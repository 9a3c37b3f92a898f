"""The reader of Matterport3D. The package's docstring describes the raw data."""

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.formats.pictures import read_depth_in_16_bits, read_picture
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, parent, places_of
from zipmap_pl.preprocess.formats.split_lists import read_split_lists
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.matterport3d.house import Scan, read_conf, read_overlaps

log = logging.getLogger(__name__)

CAMERAS, COLORS, DEPTHS, OVERLAPS = (
    "undistorted_camera_parameters",
    "undistorted_color_images",
    "undistorted_depth_images",
    "image_overlap_data",
)
HOUSE = r"[A-Za-z0-9]{11}"
PART = re.compile(rf".*/({HOUSE})/(?:{CAMERAS}|{COLORS}|{DEPTHS}|{OVERLAPS})")
LISTS = {split: f"scenes_{split}.txt" for split in ("train", "val", "test")}
HEIGHT = 1024  # pixels
VALUES_PER_METER = 4000.0

INFO = DatasetInfo(
    slug="matterport3d",
    title="Matterport3D",
    licence="Matterport3D Terms of Use: a signed agreement, sent from the address of an institution",
    kind="static",
    source="real",
    metres_per_raw_unit=1.0,
    url="https://niessner.github.io/Matterport",
    commercial=False,
    raw_size="1.3 TB for everything; four kinds of archives are needed",
)


def listed_splits(folder: Path | None) -> dict[str, str]:
    """Split of each house of the official lists; none without a folder."""
    return {} if folder is None else read_split_lists("--splits", folder, LISTS, "17DRP5sb8fy", HOUSE)


def checksum_of_splits(folder: Path | None) -> str:
    """Of what the lists say, so that a changed list is noticed."""
    return "" if folder is None else hashlib.sha256(repr(sorted(listed_splits(folder).items())).encode()).hexdigest()


@dataclass(frozen=True)
class Matterport3d:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        splits: folder of the official lists; None = all houses are for training.
    """

    raw: Path = raw_folder("folder of houses, in zips as downloaded or unpacked")
    splits: Path | None = option(
        None,
        "folder of the official lists scenes_train.txt, scenes_val.txt and scenes_test.txt (default: all are for training)",
        metavar="FOLDER",
        parse=Path,
        recorded=checksum_of_splits,
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which houses are for what, as a checksum."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per house, sorted by name. Raises UserError if there are none."""
        found, splits = find_folders(self.raw, PART), listed_splits(self.splits)
        if not found.places:
            raise UserError(f"{self.raw}: no <house>/{CAMERAS}, such as 17DRP5sb8fy, in folders or zips")
        if not splits:
            log.warning("without --splits, the official houses for testing are among those for training")
        return [*(self._scene(house, splits.get(house, "train")) for house in found.places), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an image of the published size."""
        return self._camera(scene.name, self._scan(scene, frame), HEIGHT)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        scan = self._scan(scene, frame)
        image, jpeg = read_picture(self._file(scene.name, f"{COLORS}/{scan.color}"))
        depth = read_depth_in_16_bits(self._file(scene.name, f"{DEPTHS}/{scan.depth}"), VALUES_PER_METER)
        return RawFrame(
            self._camera(scene.name, scan, image.shape[0]),
            image,
            jpeg,
            depth,
            overlaps=self._overlaps(scene.name, frame),
        )

    def _scene(self, house: str, split: str) -> RawScene:
        """Frames are the images of the .conf."""
        left_out = [twice for part in (CAMERAS, COLORS, DEPTHS) for twice in found_twice(self._places(house, part))]
        try:
            scans = read_conf(self._file(house, f"{CAMERAS}/{house}.conf"))
        except RawFault as fault:
            return RawScene(house, split, (), (*left_out, LeftOut(fault.file, fault.reason)))
        try:
            self._given(house)
        except RawFault as fault:
            left_out.append(LeftOut(fault.file, f"{fault.reason}; overlaps are computed"))
        return RawScene(house, split, tuple(scans), tuple(left_out))

    def _camera(self, house: str, scan: Scan, height: int) -> RawCamera:
        intrinsics = np.eye(3)
        intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)] = scan.intrinsics
        intrinsics[1, 2] = height - intrinsics[1, 2]  # from the top
        return RawCamera(
            intrinsics, to_opencv(scan.cam_to_world, "opengl"), self._file(house, f"{CAMERAS}/{house}.conf")
        )

    def _scan(self, scene: RawScene, frame: str) -> Scan:
        file = self._file(scene.name, f"{CAMERAS}/{scene.name}.conf")
        scan = read_conf(file).get(frame)
        if scan is None:
            raise RawFault(file, "no scan of an image")
        return scan

    def _overlaps(self, house: str, frame: str) -> tuple[tuple[str, float], ...] | None:
        try:
            given = self._given(house)
        except RawFault:  # told when scenes were listed
            return None
        return None if given is None else given.get(frame, ())

    def _given(self, house: str) -> dict[str, tuple[tuple[str, float], ...]] | None:
        """The overlaps of each frame; None without their file."""
        if not self._places(house, OVERLAPS):
            return None
        names = tuple(read_conf(self._file(house, f"{CAMERAS}/{house}.conf")))
        return read_overlaps(self._file(house, f"{OVERLAPS}/{house}_iis.txt"), names)

    def _file(self, house: str, name: str) -> Source:
        part, _, rest = name.partition("/")
        places = self._places(house, part)
        if not places:
            raise RawFault(self.raw / house / part, "missing, in every folder and zip")
        return join(places[0], rest)

    def _places(self, house: str, part: str) -> tuple[Source, ...]:
        parts = find_folders(self.raw, PART).places.get(house, ())
        return places_of(tuple(dict.fromkeys(parent(place) for place in parts)), part)


READER = Matterport3d
