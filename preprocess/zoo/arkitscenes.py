"""ARKitScenes: 5,047 videos of real rooms from a tablet with LiDAR, 640x480 with depth of 256x192, metric.

    RAW/Training/47333462/              and RAW/Validation; of the raw release, four assets of a video, unzipped or as their zips
      vga_wide/47333462_305.244.png             seconds with three decimals, 30 Hz, as the sensor lies
      vga_wide_intrinsics/47333462_305.244.pincam     width height fx fy cx cy; its name may be a millisecond off
      lowres_depth/47333462_305.244.png         16 bits, millimeters, planar; 60 Hz
      lowres_wide.traj                          seconds, rotation vector, translation: world to camera; z is up; 10 Hz

A scene is a video; `Validation` is the split val. Frames are images that have depth of the same time, in the order of time (not of
names); by default every ninth, some three a second: --pairs takes the list of the published training instead. Poses are
interpolated between the two around an image; images outside of the trajectory, or in a gap of more than a quarter of a second,
are passed over. Depth is enlarged to its image.

The tablet is often held upright: images, depth and cameras of a scene are turned by quarters so that up is up, by the mean of all poses.
Published code forgets that the principal point is mirrored with it.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.interpolation import interpolated
from zipmap_pl.preprocess.convert.match_sizes import registered
from zipmap_pl.preprocess.convert.turns import quarter_turned, quarter_turned_camera
from zipmap_pl.preprocess.formats.npz import read_arrays
from zipmap_pl.preprocess.formats.pictures import read_depth_in_16_bits, read_picture
from zipmap_pl.preprocess.formats.sources import Source, Zipped, exists, find_folders, found_twice, join, names_in
from zipmap_pl.preprocess.formats.text_rows import numbers_of_row, text_rows
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

VIDEO = re.compile(r".*/((?:Training|Validation)/\d{8})")
IMAGES, INTRINSICS, DEPTHS, TRAJECTORY = "vga_wide", "vga_wide_intrinsics", "lowres_depth", "lowres_wide.traj"
SPLITS = {"Training": "train", "Validation": "val"}
IN_PAIRS = {"Training": "Training", "Validation": "Test"}
VALUES_PER_METER = 1000.0
LONGEST_GAP = 0.25  # seconds between two poses
MILLISECOND, NO_POSE = 0.001, "taken outside of the trajectory, or in a gap of it"

INFO = DatasetInfo(
    slug="arkitscenes",
    title="ARKitScenes",
    licence="Apple's own: personal and non-commercial; commercial terms are separate; no registration",
    kind="static",
    source="real",
    metres_per_raw_unit=1.0,
    url="https://github.com/apple/ARKitScenes",
    commercial=False,
    raw_size="more than 7 TB for the whole raw release; four of its assets are needed",
)


@dataclass(frozen=True)
class Trajectory:
    """Times [n] float64 in seconds, ascending; cam_to_world [n, 4, 4]; quarter turns that make the images upright."""

    times: np.ndarray
    poses: np.ndarray
    turns: int


@dataclass(frozen=True)
class ArkitScenes:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        every: one of so many images is read.
        pairs: folder of DUSt3R's list of images; None = `every` decides.
    """

    raw: Path = raw_folder("folder of Training and Validation of the raw release")
    every: int = option(9, "read one of N images (default: %(default)s, some three a second)", metavar="N")
    pairs: Path | None = option(
        None,
        "folder of DUSt3R's arkitscenes_pairs: read the images that it selects (default: --every decides)",
        metavar="FOLDER",
        parse=Path,
        recorded=lambda folder: "selected" if folder else None,
    )

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"--every {self.every}: expected 1 or more")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which images."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per video, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, VIDEO)
        if not found.places:
            raise UserError(f"{self.raw}: no Training/<8 digits> and no Validation/<8 digits> in it")
        return [*(self._scene(name, places) for name, places in found.places.items()), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of the upright image, from whose corner pixels count, as ARKit's do."""
        size, camera = self._camera(scene, frame)
        return quarter_turned_camera(camera, size, self._trajectory(scene).turns)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame, upright."""
        size, camera = self._camera(scene, frame)
        name = f"{scene.name[-8:]}_{frame}.png"
        image, _ = read_picture(file := join(self._part(scene, IMAGES), name))
        if image.shape[:2] != size:
            raise RawFault(file, f"image is {image.shape[1]}x{image.shape[0]}, its .pincam says {size[1]}x{size[0]}")
        depth = read_depth_in_16_bits(join(self._part(scene, DEPTHS), name), VALUES_PER_METER)
        return quarter_turned(registered(camera, image, None, depth, file, to="picture"), self._trajectory(scene).turns)

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the times of images that have depth."""
        scene = RawScene(name, SPLITS[name.split("/")[0]], (), tuple(found_twice(places)))
        try:
            self._trajectory(scene)
            times = self._times(scene) if self.pairs is None else self._selected(name, self.pairs)
        except RawFault as fault:
            return replace(scene, left_out=(*scene.left_out, LeftOut(fault.file, fault.reason)))
        return replace(scene, frames=tuple(times))

    def _times(self, scene: RawScene) -> list[str]:
        """The times of one of --every images that have depth. RawFault."""
        pattern = re.compile(rf"{scene.name[-8:]}_(\d+\.\d{{3}})\.png")
        matches = ([pattern.fullmatch(file) for file in names_in(self._part(scene, part))] for part in (IMAGES, DEPTHS))
        images, depths = ({match[1] for match in of_part if match} for of_part in matches)
        return sorted(images & depths, key=float)[:: self.every]

    def _selected(self, name: str, pairs: Path) -> list[str]:
        """The times that a list of pairs selects. RawFault."""
        fold, video = name.split("/")
        (selection,) = read_arrays(pairs / IN_PAIRS[fold] / video / "selected_pairs.npz", "selection")
        return sorted((str(file).removesuffix(".png").rpartition("_")[2] for file in selection.ravel()), key=float)

    def _camera(self, scene: RawScene, frame: str) -> tuple[tuple[int, int], RawCamera]:
        """Height and width of the image, and the camera, as the sensor lies."""
        video, time, folder = scene.name[-8:], float(frame), self._part(scene, INTRINSICS)
        named = [join(folder, f"{video}_{t:.3f}.pincam") for t in (time, time - MILLISECOND, time + MILLISECOND)]
        file = next((file for file in named if exists(file)), named[0])
        width, height, *pinhole = numbers_of_row(file, 0, 6, "width, height, fx, fy, cx, cy").tolist()
        trajectory = self._trajectory(scene)
        pose = interpolated(trajectory.times, trajectory.poses, time, LONGEST_GAP)
        size, matrix = (int(height), int(width)), cameras.intrinsics_matrix(np.array(pinhole))
        return size, RawCamera(matrix, np.eye(4), file, lost=NO_POSE) if pose is None else RawCamera(matrix, pose, file)

    def _trajectory(self, scene: RawScene) -> Trajectory:
        return read_trajectory(join(self._folder(scene), TRAJECTORY))

    def _part(self, scene: RawScene, part: str) -> Source:
        """The folder of an asset, or its place in the zip that was kept."""
        folder = self._folder(scene)
        if isinstance(folder, Path) and not (folder / part).exists() and (folder / f"{part}.zip").exists():
            return Zipped(folder / f"{part}.zip", part)
        return join(folder, part)

    def _folder(self, scene: RawScene) -> Source:
        places = find_folders(self.raw, VIDEO).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return places[0]


@lru_cache(maxsize=2)
def read_trajectory(file: Source) -> Trajectory:
    """The poses of a video. Times are rounded to milliseconds, as those of the images are. Raises RawFault."""
    rows = np.array([numbers_of_row(file, k, 7, "time, rotation, place") for k in range(max(1, len(text_rows(file))))])
    if not np.isfinite(rows).all():
        raise RawFault(
            file, f"line {int(np.argmin(np.isfinite(rows).all(axis=1))) + 1} holds NaN or infinity, expected 7 numbers"
        )
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    world_to_cam = np.concatenate((Rotation.from_rotvec(rows[:, 1:4]).as_matrix(), rows[:, 4:, None]), axis=2)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = cameras.invert_rigid(world_to_cam)
    return Trajectory(np.floor(rows[:, 0] / MILLISECOND + 0.5) * MILLISECOND, poses, turns_of(poses))


def turns_of(poses: np.ndarray) -> int:
    """How many quarter turns counterclockwise make the images of a video upright, by the mean of its cam_to_world poses [n, 4, 4]."""
    mean = poses[:, :3, :2].mean(axis=0)
    right, up = (
        mean[2] / np.linalg.norm(mean, axis=0) * (1, -1)
    ).tolist()  # how far the image's right and upper side look up
    if abs(up) < abs(right):
        return 1 if right > 0 else -1
    return 2 if up < 0 else 0


READER = ArkitScenes
