"""The reader of Hypersim. The package's docstring describes the raw data."""

import logging
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.rectify import resampled
from zipmap_pl.preprocess.convert.tone_mapping import tone_mapped
from zipmap_pl.preprocess.formats.hdf5 import read_hdf5
from zipmap_pl.preprocess.formats.sources import (
    Source,
    exists,
    find_folders,
    folders_in,
    found_twice,
    join,
    names_in,
    parent,
)
from zipmap_pl.preprocess.formats.tables import read_csv
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.hypersim.projection import SIGNS, projection_of

log = logging.getLogger(__name__)

IMAGES = re.compile(r".*/(ai_\d{3}_\d{3})/images")
FRAME = re.compile(r"frame\.(\d{4})\.(?:color|depth_meters|render_entity_id)\.hdf5")
CAMERA = re.compile(r"scene_(cam_\d+)_(?:final|geometry)_hdf5")
COLOUR, DISTANCE, ENTITY = "color", "depth_meters", "render_entity_id"
FOLDERS = {"final_hdf5": (COLOUR,), "geometry_hdf5": (DISTANCE, ENTITY)}
CAMERAS_CSV, SPLITS_CSV = "metadata_camera_parameters.csv", "metadata_images_split_scene_v1.csv"
KEY = "dataset"  # of the one array of every .hdf5
NO_SURFACE = -1
NO_FOLDERS = "no images/scene_cam_<nn>_final_hdf5 in it"
# Black pixels and other flaws; not used by the published training (which meant all of 010_009, but read cam_00 and cam_01).
EXCLUDED_SCENES = (
    "004_007 027_003 027_005 028_003 029_004 038_002 038_004 038_007 039_006 042_002 042_005 044_009 045_005 046_003"
    " 048_001 048_003 054_001 054_009"
)
EXCLUDED_TRAJECTORIES = {
    "cam_00": "003_001 004_005 010_005 010_008 011_000 011_001 014_006 016_003 017_001 026_015 027_001 031_009 039_002"
    " 039_003 039_005 039_010 041_001 041_008 043_003",
    "cam_01": "004_005 016_001 016_003 027_001 042_003",
    "cam_02": "010_009 027_001",
    "cam_03": "027_001",
}
EXCLUDED = (
    *(f"ai_{scene}" for scene in EXCLUDED_SCENES.split()),
    *(f"ai_{scene}/{camera}" for camera, scenes in EXCLUDED_TRAJECTORIES.items() for scene in scenes.split()),
)


INFO = DatasetInfo(
    slug="hypersim",
    title="Hypersim",
    licence="CC BY-SA 3.0, Apple Inc.",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://github.com/apple/ml-hypersim",
    commercial=True,
    raw_size="1.9 TB with all modalities; color, depth and entities are needed",
)


@dataclass(frozen=True)
class Hypersim:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        exclude: scenes (ai_001_001) and trajectories (ai_001_001/cam_00) that are not read.
        official_splits: train, val and test as published, instead of all for training.
    """

    raw: Path = raw_folder("folder of scenes, unpacked or zipped, and of the csv")
    exclude: tuple[str, ...] = option(
        EXCLUDED,
        "scenes and trajectories (ai_001_001/cam_00) that are not read"
        " (default: those that the published training skips)",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )
    official_splits: bool = option(
        False, f"splits as in {SPLITS_CSV} (default: all for training, as in the published training)"
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """What is not read, and whose splits."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per trajectory, sorted by name. Raises UserError if there are none, or no list of cameras."""
        found = find_folders(self.raw, IMAGES)
        self._require(CAMERAS_CSV, "contrib/mikeroberts3000")
        if self.official_splits:
            self._require(SPLITS_CSV, "evermotion_dataset/analysis")
        names = [name for name in found.places if name not in self.exclude]
        listed = [scene for name in names for scene in self._trajectories(name, found.places[name])]
        scenes = [scene for scene in listed if scene.name not in self.exclude]
        if not scenes:
            raise UserError(f"{self.raw}: no scenes ai_<nnn>_<nnn> in folders or zips (see also --exclude)")
        text = "%s: %d scenes and %d single trajectories left out by --exclude"
        log.info(text, self.raw, len(found.places) - len(names), len(listed) - len(scenes))
        return [*scenes, *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The pinhole camera that the frame is written for."""
        trajectory = self._trajectory(scene)
        projection = projection_of(self.raw / CAMERAS_CSV, trajectory.folder, trajectory.scene)
        file = trajectory.detail("camera_keyframe_orientations.hdf5")
        orientation = _keyframe(file, (3, 3), int(frame))
        position = _keyframe(trajectory.detail("camera_keyframe_positions.hdf5"), (3,), int(frame))
        cam_to_world = np.eye(4)
        with np.errstate(invalid="ignore"):  # the engine refuses what is not finite
            cam_to_world[:3, :3] = cameras.multiply(orientation * SIGNS, projection.view.turn.T)
            cam_to_world[:3, 3] = position * projection.metres_per_unit
        return RawCamera(projection.view.intrinsics, cam_to_world, file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        trajectory, camera = self._trajectory(scene), self.camera(scene, frame)
        projection = projection_of(self.raw / CAMERAS_CSV, trajectory.folder, trajectory.scene)
        size = projection.height, projection.width
        colour = read_hdf5(trajectory.file(COLOUR, frame), KEY, "f", (*size, 3))
        distance = read_hdf5(trajectory.file(DISTANCE, frame), KEY, "f", size)
        no_surface = read_hdf5(trajectory.file(ENTITY, frame), KEY, "i", size) == NO_SURFACE
        depth = np.where(np.isfinite(distance), distance, 0) * projection.depth_of_distance
        raw = RawFrame(camera, tone_mapped(colour, ~no_surface), depth=depth.astype(np.float32), sky=no_surface)
        return resampled(raw, *projection.raw_places, projection.view.intrinsics) if projection.view.resampled else raw

    def _require(self, name: str, where: str) -> None:
        if not (self.raw / name).is_file():
            raise UserError(f"{self.raw / name}: missing; copy it from github.com/apple/ml-hypersim, folder {where}")

    def _trajectories(self, name: str, images: tuple[Source, ...]) -> list[RawScene]:
        """Those of the scene `name`, by its folders images. What is wrong with all of them is told with the first."""
        matches = [CAMERA.fullmatch(folder) for folder in folders_in(images[0])]
        names = sorted({f"{name}/{match[1]}" for match in matches if match})
        left_out, folder = found_twice(tuple(map(parent, images))), parent(images[0])
        if not names:
            return [RawScene(name, "train", (), (*left_out, LeftOut(str(folder), NO_FOLDERS)))]
        scenes = [self._scene(_Trajectory(folder, name)) for name in names]
        return [replace(scenes[0], left_out=(*left_out, *scenes[0].left_out)), *scenes[1:]]

    def _scene(self, trajectory: "_Trajectory") -> RawScene:
        """Frames are the numbers that pictures, distances and entities have between them."""
        left_out = [LeftOut(str(folder), "missing") for folder in map(trajectory.images, FOLDERS) if not exists(folder)]
        split = _splits(self.raw / SPLITS_CSV).get(trajectory.scene) if self.official_splits else "train"
        if split is None:
            left_out.append(LeftOut(str(self.raw / SPLITS_CSV), f"no split for {trajectory.scene}"))
        files = [name for kind in FOLDERS for name in names_in(trajectory.images(kind))]
        numbers = {match[1] for match in map(FRAME.fullmatch, files) if match}
        return RawScene(trajectory.name, split or "train", () if left_out else tuple(sorted(numbers)), tuple(left_out))

    def _trajectory(self, scene: RawScene) -> "_Trajectory":
        name = scene.name.split("/")[0]
        images = find_folders(self.raw, IMAGES).places.get(name)
        if not images:
            raise RawFault(self.raw / name, "missing")
        return _Trajectory(parent(images[0]), scene.name)


@dataclass(frozen=True)
class _Trajectory:
    """Where the files of a trajectory are: the folder of its scene, and its name."""

    folder: Source
    name: str

    @property
    def scene(self) -> str:
        """The name of its scene."""
        return self.name.split("/")[0]

    @property
    def camera(self) -> str:
        """The name of its camera."""
        return self.name.split("/")[1]

    def images(self, kind: str) -> Source:
        """A folder of pictures, of a kind in FOLDERS."""
        return join(self.folder, f"images/scene_{self.camera}_{kind}")

    def file(self, part: str, frame: str) -> Source:
        """A file of a frame."""
        kind = next(kind for kind, parts in FOLDERS.items() if part in parts)
        return join(self.images(kind), f"frame.{frame}.{part}.hdf5")

    def detail(self, name: str) -> Source:
        """A file of the camera's path."""
        return join(self.folder, f"_detail/{self.camera}/{name}")


@lru_cache(maxsize=1)
def _splits(file: Path) -> dict[str, str]:
    """Split of each scene. Raises UserError, because it is asked for before there are frames to be lost."""
    try:
        rows = read_csv(file, "scene_name", "split_partition_name")
    except RawFault as fault:
        raise UserError(f"{fault}; expected the file as published") from fault
    return {row["scene_name"]: name for row in rows if (name := row["split_partition_name"])}


@lru_cache(maxsize=4)
def _keyframes(file: Source, shape: tuple[int, ...]) -> np.ndarray:
    return read_hdf5(file, KEY, "f", (None, *shape)).astype(np.float64)


def _keyframe(file: Source, shape: tuple[int, ...], number: int) -> np.ndarray:
    """One of the arrays [shape] of a camera's path, float64."""
    values = _keyframes(file, shape)
    if number >= len(values):
        raise RawFault(file, f"{len(values)} keyframes, fewer than frames")
    return values[number]
