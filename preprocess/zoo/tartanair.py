"""TartanAir (V1): rendered flights through 18 environments, 640x480, depth in metres. Only the left camera is read.

    RAW/<environment>/<Easy|Hard>/P<nnn>/
      image_left/000000_left.png           8-bit RGB
      depth_left/000000_left_depth.npy     floats, planar metres; the sky is 10,000 m or more
      pose_left.txt                        line k, frame k: tx ty tz qx qy qz qw, camera to world, forward-right-down

Such folders may lie at any depth (unpacking in place doubles the environment's folder), or in zips as downloaded, which
are read in place: image_left.zip and depth_left.zip of each environment and difficulty are all that is needed. A scene
is a trajectory; its name is the last three folders'.
"""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.formats.pictures import read_depth_npy, read_picture
from zipmap_pl.preprocess.formats.sources import (
    Source,
    find_folders,
    found_twice,
    join,
    names_in,
    places_of,
)
from zipmap_pl.preprocess.formats.text_rows import numbers_of_row, text_rows
from zipmap_pl.preprocess.formats.trajectories import matrix_of_quaternion
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

log = logging.getLogger(__name__)

TRAJECTORY = re.compile(r".*/([^/]+/(?:Easy|Hard)/P\d+)")
IMAGES, DEPTHS, POSES = "image_left", "depth_left", "pose_left.txt"
ENDINGS = {IMAGES: "_left.png", DEPTHS: "_left_depth.npy"}  # after the frame's number
WIDTH, HEIGHT = 640, 480
FAR = 10_000.0  # metres; from here on it is the sky
EXCLUDED = ("abandonedfactory_night", "amusement", "ocean", "office2")  # not used by the published training


INFO = DatasetInfo(
    slug="tartanair",
    title="TartanAir (V1)",
    licence="CMU AirLab (theairlab.org); CC BY 4.0 as stated for its successors, V1 carries no notice of its own",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://github.com/castacks/tartanair_tools",
    commercial=None,
    raw_size="210 GB: left images 141, left depth 69",
)


@dataclass(frozen=True)
class TartanAir:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        exclude: environments that are not read.
    """

    raw: Path = raw_folder("folder of environments, unpacked or zipped")
    exclude: tuple[str, ...] = option(
        EXCLUDED,
        "environments that are not read (default: %(default)s, as in the published training)",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """The environments that are not read."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per trajectory, sorted by name, all for training. Raises UserError if there are none."""
        found = find_folders(self.raw, TRAJECTORY)
        names = [name for name in found.places if name.split("/")[0] not in self.exclude]
        if not names:
            raise UserError(
                f"{self.raw}: no trajectory <environment>/<Easy|Hard>/P<nnn> in folders or zips"
                f" (not counting {', '.join(self.exclude)}; see --exclude)"
            )
        if len(names) < len(found.places):
            log.info("%s: %d trajectories left out by --exclude", self.raw, len(found.places) - len(names))
        return [*(self._scene(name) for name in names), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of a picture of the published size."""
        file = self._part(scene.name, POSES)
        values = numbers_of_row(file, int(frame), 7, "tx ty tz qx qy qz qw")
        return RawCamera(intrinsics(WIDTH, HEIGHT), to_opencv(matrix_of_quaternion(values), "ned"), file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        camera = self.camera(scene, frame)
        image, _ = read_picture(join(self._part(scene.name, IMAGES), frame + ENDINGS[IMAGES]))
        file = join(self._part(scene.name, DEPTHS), frame + ENDINGS[DEPTHS])
        depth = read_depth_npy(file)
        if depth.dtype.kind != "f":
            raise RawFault(file, f"depth is {depth.dtype}, expected floats (metres)")
        camera = replace(camera, intrinsics=intrinsics(image.shape[1], image.shape[0]))
        return RawFrame(camera, image, depth=depth.astype(np.float32, copy=False), sky=depth >= FAR)

    def _scene(self, name: str) -> RawScene:
        """Frames are the numbers that pictures, depths and lines of poses have between them."""
        left_out, numbers = [], set[str]()
        for part in (IMAGES, DEPTHS, POSES):
            places = self._places(name, part)
            if not places:
                left_out.append(LeftOut(str(self.raw / name / part), "missing, in every folder and zip"))
                continue
            if part == POSES:  # the same in every zip
                numbers |= {f"{k:06d}" for k in range(_row_count(places[0]))}
                continue
            left_out += found_twice(places)
            ending = ENDINGS[part]
            numbers |= {n[: -len(ending)] for n in names_in(places[0]) if re.fullmatch(rf"\d{{6}}{ending}", n)}
        whole = all(self._places(name, part) for part in (IMAGES, DEPTHS, POSES))
        return RawScene(name, "train", tuple(sorted(numbers)) if whole else (), tuple(left_out))

    def _part(self, name: str, part: str) -> Source:
        """The folder or file of a trajectory that is used."""
        places = self._places(name, part)
        if not places:
            raise RawFault(self.raw / name / part, "missing")
        return places[0]

    def _places(self, name: str, part: str) -> tuple[Source, ...]:
        return places_of(find_folders(self.raw, TRAJECTORY).places.get(name, ()), part)


def intrinsics(width: int, height: int) -> np.ndarray:
    """[3, 3] of a picture of this size: 90 degrees wide, square pixels, centred."""
    return cameras.intrinsics_matrix(np.array((width / 2, width / 2, width / 2, height / 2)))


def _row_count(file: Source) -> int:
    try:
        return len(text_rows(file))
    except RawFault:
        return 0  # every frame will say so


READER = TartanAir
