"""TartanGround and TartanAir-V2: rendered drives, walks and flights through 74 environments, 640x640, depth in meters.

    RAW/<environment>/<set>/<trajectory>/      Data_easy, Data_hard: P000; Data_omni, Data_diff, Data_anymal: P0000
      image_lcam_front/000000_lcam_front.png         8-bit RGB, 90 degrees wide
      depth_lcam_front/000000_lcam_front_depth.png   RGBA whose bytes are a float: planar meters; sky 10,000 m or more
      pose_lcam_front.txt                            line k, frame k: tx ty tz qx qy qz qw, camera to world, NED

The paper says TartanGround; the published code reads the folders of TartanAir-V2, which has the same cameras. Both are read:
unpacked, or in zips as downloaded (V2's hold whole paths: <environment>/<set>/image_lcam_front.zip; TartanGround's lie
in the trajectory's folder: image_lcam_front.zip, depth_lcam_front.zip, and metadata.zip with the poses).

A scene is what one camera sees, <environment>/<set>/<trajectory>/<camera>. The published training has one camera, which is
not named; lcam_front is taken (--cameras). 23 environments are left out, as in that training (--exclude).
"""

import logging
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.png_layers import read_float_png
from zipmap_pl.preprocess.formats.sources import (
    Source,
    Zipped,
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

TRAJECTORY = re.compile(r".*/([^/]+/Data_[^/]+/P\d{3,4})")
CAMERAS = tuple(
    f"{eye}_{side}" for eye, side in product(("lcam", "rcam"), ("front", "right", "left", "back", "top", "bottom"))
)
SIDE = 640  # pixels
FAR = 10_000.0  # meters; from here on it is the sky
EXCLUDED = names(
    "Antiquity3D,ArchVizTinyHouseDay,ArchVizTinyHouseNight,BrushifyMoon,Fantasy,HQWesternSaloon,HongKong,"
    "IndustrialHangar,ModUrbanCity,Ocean,Office,OldScandinavia,OldTownNight,PolarSciFi,Prison,"
    "SeasonalForestSummerNight,SeasonalForestWinterNight,Sewerage,ShoreCaves,SoulCity,TerrainBlending,"
    "WaterMillNight,WesternDesertTown"
)

INFO = DatasetInfo(
    slug="tartanground",
    title="TartanGround and TartanAir-V2",
    licence="CC BY 4.0 (CMU AirLab); no registration",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://tartanair.org",
    commercial=True,
    raw_size="front left camera only: TartanAir-V2 833 GB of images, 380 GB of depth; TartanGround about 1.3 TB",
)


@dataclass(frozen=True)
class TartanGround:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        cameras: that are read; each sees a scene of its own.
        exclude: environments that are not read.
    """

    raw: Path = raw_folder("folder of environments, unpacked or zipped, of one or both datasets")
    cameras: tuple[str, ...] = option(
        ("lcam_front",),
        f"cameras that are read, each as scenes of its own (default: %(default)s); known: {', '.join(CAMERAS)}",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )
    exclude: tuple[str, ...] = option(
        EXCLUDED,
        "environments that are not read (default: %(default)s, as in the published training)",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )

    def __post_init__(self) -> None:
        unknown = sorted({*self.cameras} - {*CAMERAS})
        if unknown or not self.cameras:
            raise UserError(f"--cameras {','.join(unknown)}: expected one or more of {', '.join(CAMERAS)}")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """The cameras, and the environments that are not read."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per trajectory and camera, sorted by name, all for training. Raises UserError if there are none."""
        found = find_folders(self.raw, TRAJECTORY)
        kept = [name for name in found.places if _environment(name) not in self.exclude]
        if not kept:
            raise UserError(
                f"{self.raw}: no trajectory <environment>/Data_<set>/P<number> in folders or zips"
                f" (not counting {', '.join(self.exclude)}; see --exclude)"
            )
        if len(kept) < len(found.places):
            log.info("%s: %d trajectories left out by --exclude", self.raw, len(found.places) - len(kept))
        scenes = (self._scene(name, camera) for name in kept for camera in self.cameras)
        return [*(scene for scene in scenes if scene is not None), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an image of the published size. Each camera has poses of its own, with its own axes."""
        trajectory, camera = scene.name.rsplit("/", 1)
        file = self._part(trajectory, f"pose_{camera}.txt")
        values = numbers_of_row(file, int(frame), 7, "tx ty tz qx qy qz qw")
        return RawCamera(intrinsics(SIDE, SIDE), to_opencv(matrix_of_quaternion(values), "ned"), file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        trajectory, camera = scene.name.rsplit("/", 1)
        image, _ = read_picture(join(self._part(trajectory, f"image_{camera}"), f"{frame}_{camera}.png"))
        depth = read_float_png(join(self._part(trajectory, f"depth_{camera}"), f"{frame}_{camera}_depth.png"))
        matrix = intrinsics(image.shape[1], image.shape[0])
        return RawFrame(replace(self.camera(scene, frame), intrinsics=matrix), image, depth=depth, sky=depth >= FAR)

    def _scene(self, trajectory: str, camera: str) -> RawScene | None:
        """Frames are the numbers that images, depths and lines of poses have between them. None if there is nothing of the camera."""
        name, left_out, numbers = f"{trajectory}/{camera}", list[LeftOut](), set[str]()
        images, depths, poses = f"image_{camera}", f"depth_{camera}", f"pose_{camera}.txt"
        try:
            places = {part: self._places(trajectory, part) for part in (images, depths, poses)}
            if not places[images] and not places[depths]:
                return None
            for part, ending in ((images, ".png"), (depths, "_depth.png")):
                left_out += found_twice(places[part])
                files = [file for place in places[part][:1] for file in names_in(place)]
                numbers |= {file[:6] for file in files if re.fullmatch(rf"\d{{6}}_{camera}{ending}", file)}
            numbers |= {f"{k:06d}" for place in places[poses][:1] for k in range(_line_count(place))}
        except RawFault as fault:  # an archive
            return RawScene(name, "train", (), (LeftOut(fault.file, fault.reason),))
        missing = [part for part, found in places.items() if not found]
        left_out += [LeftOut(str(self.raw / trajectory / part), "missing, in every folder and zip") for part in missing]
        return RawScene(name, "train", () if missing else tuple(sorted(numbers)), tuple(left_out))

    def _part(self, trajectory: str, part: str) -> Source:
        """The folder or file of a trajectory that is used."""
        places = self._places(trajectory, part)
        if not places:
            raise RawFault(self.raw / trajectory / part, "missing")
        return places[0]

    def _places(self, trajectory: str, part: str) -> tuple[Source, ...]:
        """Where a part of a trajectory is. Raises RawFault if a zip in its folder is unreadable."""
        return places_of(_with_zips(find_folders(self.raw, TRAJECTORY).places.get(trajectory, ()), part), part)


def _environment(trajectory: str) -> str:
    """Its name; folders of older downloads have more in theirs."""
    return trajectory.split("/")[0].removesuffix("Exposure")


@lru_cache(maxsize=16)
def _with_zips(folders: tuple[Source, ...], part: str) -> tuple[Source, ...]:
    """The folders, and the zip in each, if there is one, that holds a part in TartanGround's downloads."""
    archive = "metadata.zip" if part.startswith("pose") else f"{part}.zip"
    zips = (
        Zipped(folder / archive, ".") for folder in folders if isinstance(folder, Path) and (folder / archive).exists()
    )
    return (*folders, *zips)


def intrinsics(width: int, height: int) -> np.ndarray:
    """[3, 3] of an image of this size: 90 degrees wide, square pixels, centered, from the corner."""
    return cameras.intrinsics_matrix(np.array((width / 2, width / 2, width / 2, height / 2)))


def _line_count(file: Source) -> int:
    try:
        return len(text_rows(file))
    except RawFault:
        return 0  # every frame will say so


READER = TartanGround
