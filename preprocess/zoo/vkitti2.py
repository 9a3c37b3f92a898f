"""Virtual KITTI 2: five rendered drives under ten conditions each, seen by two cameras, 1242x375, depth in centimeters.

    RAW/<scene>/<variation>/            Scene01, 02, 06, 18, 20; clone, fog, morning, 15-deg-left, ...
      frames/rgb/Camera_0/rgb_00000.jpg
      frames/depth/Camera_0/depth_00000.png   16 bits, centimeters, planar; 65535 is the sky, or farther than 655.35 m
      extrinsic.txt                     header; frame, camera, then 4x4 by rows, world to camera, meters
      intrinsic.txt                     header; frame, camera, fx fy cx cy, from the first pixel's center

The three downloads (rgb, depth, textgt) may lie in one tree or side by side, unpacked or as tars, which are read in place.
A scene is what one camera sees of one variation: <scene>/<variation>/Camera_<k>. All are for training. To hold a drive out,
leave out its ten variations.

Some published code takes the poses for camera to world. The two cameras are 0.532725 m apart along x, which tells:
it is compared before anything is read. Half a pixel is added to the principal point, which published code ignores.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.rectify import HALF
from zipmap_pl.preprocess.formats.pictures import read_depth_in_16_bits, read_picture
from zipmap_pl.preprocess.formats.sources import (
    Source,
    find_folders,
    found_twice,
    join,
    names_in,
    places_of,
    tar_tables,
)
from zipmap_pl.preprocess.formats.tables import number_of, read_csv
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

VARIATION = re.compile(r".*/(Scene\d\d/[^/]+)")
CAMERAS = ("Camera_0", "Camera_1")
IMAGES, DEPTHS = "frames/rgb", "frames/depth"
FRAME = re.compile(r"(?:rgb_(\d{5})\.jpg|depth_(\d{5})\.png)")
EXTRINSIC, INTRINSIC = "extrinsic.txt", "intrinsic.txt"
POSE = tuple(f"r{row},{column}" if column < 4 else f"t{row}" for row in (1, 2, 3) for column in (1, 2, 3, 4))
PINHOLE = ("K[0,0]", "K[1,1]", "K[0,2]", "K[1,2]")  # fx, fy, cx, cy
COLUMNS = {EXTRINSIC: POSE, INTRINSIC: PINHOLE}
VALUES_PER_METER = 100.0
SKY = 655.35  # meters, the largest value
STEREO = (-0.532725, 0.0, 0.0)  # from camera 0's translation to camera 1's, in world-to-camera poses
STEREO_TOLERANCE = 0.01  # meters

INFO = DatasetInfo(
    slug="vkitti2",
    title="Virtual KITTI 2",
    licence="CC BY-NC-SA 3.0 (NAVER LABS Europe): not for commercial use, share alike",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://europe.naverlabs.com/proxy-virtual-worlds-vkitti-2/",
    commercial=False,
    raw_size="about 15 GB: rgb, depth and textgt are needed",
)


@dataclass(frozen=True)
class VirtualKitti2:
    """The reader."""

    raw: Path = raw_folder(
        "folder of the downloads rgb, depth and textgt, unpacked, in tars or zips, in one tree or side by side"
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """There are no options."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The tables of all tars."""
        return tar_tables(self.raw, VARIATION)

    def scenes(self) -> list[RawScene]:
        """One scene per variation and camera, sorted by name. Raises UserError if there are none, or poses are camera to world."""
        found = find_folders(self.raw, VARIATION, tars=True)
        if not found.places:
            raise UserError(f"{self.raw}: no variation Scene<nn>/<variation> in folders or archives")
        refuse_camera_to_world(file for folders in found.places.values() for file in places_of(folders, EXTRINSIC)[:1])
        scenes = (self._scene(variation, camera) for variation in found.places for camera in CAMERAS)
        return [*(scene for scene in scenes if scene is not None), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of one row of each of the two tables."""
        variation, camera = scene.name.rsplit("/", 1)
        poses = self._part(variation, EXTRINSIC)
        world_to_cam = np.array(_row(poses, frame, camera)).reshape(3, 4)
        cam_to_world = np.eye(4)
        cam_to_world[:3] = cameras.invert_rigid(world_to_cam)
        intrinsics = cameras.intrinsics_matrix(np.array(_row(self._part(variation, INTRINSIC), frame, camera)))
        return RawCamera(intrinsics + HALF, cam_to_world, poses)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        variation, camera = scene.name.rsplit("/", 1)
        image, jpeg = read_picture(join(self._part(variation, f"{IMAGES}/{camera}"), f"rgb_{frame}.jpg"))
        file = join(self._part(variation, f"{DEPTHS}/{camera}"), f"depth_{frame}.png")
        depth = read_depth_in_16_bits(file, VALUES_PER_METER)
        return RawFrame(self.camera(scene, frame), image, jpeg, depth, sky=depth >= np.float32(SKY))

    def _scene(self, variation: str, camera: str) -> RawScene | None:
        """Frames are the numbers that images and depths have between them. None if there is nothing of the camera."""
        folders = [self._places(variation, f"{kind}/{camera}") for kind in (IMAGES, DEPTHS)]
        if not any(folders):
            return None
        left_out = [out for places in folders for out in found_twice(places)]
        for part in (f"{IMAGES}/{camera}", f"{DEPTHS}/{camera}", EXTRINSIC, INTRINSIC):
            if not self._places(variation, part):
                left_out.append(LeftOut(str(self.raw / variation / part), "missing, in every folder and archive"))
                folders = []
        matches = (FRAME.fullmatch(name) for places in folders for name in names_in(places[0]))
        numbers = sorted({match[1] or match[2] for match in matches if match})
        return RawScene(f"{variation}/{camera}", "train", tuple(numbers), tuple(left_out))

    def _part(self, variation: str, part: str) -> Source:
        """The folder or file of a variation that is used."""
        places = self._places(variation, part)
        if not places:
            raise RawFault(self.raw / variation / part, "missing")
        return places[0]

    def _places(self, variation: str, part: str) -> tuple[Source, ...]:
        return places_of(find_folders(self.raw, VARIATION, tars=True).places.get(variation, ()), part)


def refuse_camera_to_world(files: Iterable[Source]) -> None:
    """Raise UserError if the first table that has both cameras in it holds other poses than world to camera, in meters."""
    for file in files:
        shifts = _stereo_shifts(file)
        if shifts:
            found = np.median(shifts, axis=0)
            if np.abs(found - STEREO).max() > STEREO_TOLERANCE:
                x, y, z = (f"{value:.3f}" for value in found)
                raise UserError(
                    f"{file}: from Camera_0 to Camera_1 the translation changes by {x}, {y}, {z}; expected"
                    f" {STEREO[0]}, 0, 0 as in poses from world to camera; get the file of vkitti_2.0.3_textgt.tar.gz"
                )
            return


def _stereo_shifts(file: Source) -> list[np.ndarray]:
    """Translation of camera 1 less that of camera 0 [3], for each frame that has both. Of an unreadable table, none."""
    shifts = []
    try:
        for frame, camera in _rows(file):
            if camera == "1" and (frame, "0") in _rows(file):
                left, right = (np.array(_values(file, frame, k))[3::4] for k in "01")
                shifts.append(right - left)
    except RawFault:
        pass  # the frames will say so
    return shifts


def _row(file: Source, frame: str, camera: str) -> list[float]:
    """The numbers of a frame (by its digits) and camera (by its folder) in a table."""
    return _values(file, str(int(frame)), camera.removeprefix("Camera_"))


def _values(file: Source, frame: str, camera: str) -> list[float]:
    row = _rows(file).get((frame, camera))
    if row is None:
        raise RawFault(file, f"no row of camera {camera} for a frame that has an image or depth")
    return [number_of(file, name, row[name]) for name in COLUMNS[str(file).rsplit("/", 1)[-1]]]


@lru_cache(maxsize=4)
def _rows(file: Source) -> dict[tuple[str, str], dict[str, str]]:
    """The rows of a table by frame and camera: the cameras take turns, and nothing says that a frame's number is its row."""
    columns = COLUMNS[str(file).rsplit("/", 1)[-1]]
    rows = read_csv(file, "frame", "cameraID", *columns, separator=" ")
    return {(row["frame"], row["cameraID"]): row for row in rows}


READER = VirtualKitti2
