"""The reader of someone's own RGB-D sequences. The package's docstring describes the raw data."""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.schema import slug_of
from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.natural_order import natural_order
from zipmap_pl.preprocess.convert.axes import AXES, to_opencv
from zipmap_pl.preprocess.formats import trajectories, tum
from zipmap_pl.preprocess.formats.file_patterns import match_files
from zipmap_pl.preprocess.formats.pictures import in_units, read_depth_npy, read_depth_png, read_picture
from zipmap_pl.preprocess.formats.sources import read_bytes
from zipmap_pl.preprocess.options import options_of, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.rgbd_folder.options import INTRINSICS_FILES, RgbdOptions

log = logging.getLogger(__name__)

SPLIT_FILES = {"TrainSplit.txt": "train", "TestSplit.txt": "test"}
INFO = DatasetInfo(
    slug="rgbd-folder",
    title="Your own RGB-D sequences",
    licence="not stated",
    kind="static",
    source="real",
    metres_per_raw_unit=1.0,
)
DEPTH_SCALE = {"tum": tum.VALUES_PER_METRE, ".png": 1000.0, ".npy": 1.0}  # stored values per metre


@dataclass(frozen=True)
class FrameFiles:
    """Where a frame's parts are; None = missing. `pose` is a file or a matrix."""

    color: Path | None
    depth: Path | None
    pose: Path | np.ndarray | None


@dataclass(frozen=True)
class RgbdFolder:
    """The reader."""

    raw: Path = raw_folder("a sequence's folder, or a folder of such folders")
    options: RgbdOptions = options_of(RgbdOptions, "raw files")

    @property
    def info(self) -> DatasetInfo:
        """As the options say; always in metres."""
        slug = self.options.slug or slug_of(self.raw.resolve().name)
        return replace(
            INFO,
            slug=slug,
            title=f"RGB-D sequences {slug}",
            licence=self.options.licence,
            kind="dynamic" if self.options.moving else "static",
            source="synthetic" if self.options.rendered else "real",
        )

    def settings(self) -> dict[str, object]:
        """All options but those that `info` tells."""
        return settings_of(self)

    def alternatives(self) -> dict[str, "RgbdFolder"]:
        """Other camera axes; OpenGL's are among the common mistakes."""
        others = AXES.keys() - {"opencv", "opengl", self.options.axes}
        return {f"--axes {axes}": replace(self, options=replace(self.options, axes=axes)) for axes in sorted(others)}

    def scenes(self) -> list[RawScene]:
        """One scene per folder with frames, sorted by path. Raises UserError if there are none or files are missing."""
        if not self.raw.is_dir():
            raise UserError(f"{self.raw}: no such folder; expected RGB-D sequences")
        scenes = [self._scene(folder) for folder in self._sequence_folders()]
        if not scenes:
            raise UserError(
                f"{self.raw}: no frames found: neither all of {', '.join(tum.LISTS)}, nor pictures {self.options.color},"
                f" nor depth {self.options.depth}; give the names by --color, --depth and --poses"
            )
        return scenes

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera, without decoding pictures."""
        folder = self._folder(scene)
        pose = self._files(scene, frame).pose
        if pose is None:
            raise RawFault(folder / frame, f"no pose {self.options.poses} for this frame")
        return RawCamera(self._intrinsics(folder), self._cam_to_world(pose))

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        files = self._files(scene, frame)
        if files.color is None:
            raise RawFault(files.depth or frame, f"depth without its picture {self.options.color}")
        if files.depth is None:
            raise RawFault(files.color, f"picture without its depth {self.options.depth}")
        camera = self.camera(scene, frame)
        image, jpeg = read_picture(files.color)
        return RawFrame(camera, image, jpeg, self._depth(files.depth, tum.is_tum(self._folder(scene))))

    def _sequence_folders(self) -> Iterator[Path]:
        """Folders with frames, sorted, links followed, each once; not looked for below such a folder."""
        seen: set[Path] = set()
        for folder, below, _ in os.walk(self.raw, followlinks=True):
            real = Path(folder).resolve()
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            below.sort()
            if is_sequence(Path(folder), self.options):
                below.clear()
                yield Path(folder)

    def _scene(self, folder: Path) -> RawScene:
        frames = list_frames(folder, self.options)
        kinds = {"color": self.options.color, "depth": self.options.depth, "poses": self.options.poses}
        for kind, pattern in {} if tum.is_tum(folder) else kinds.items():
            if all(getattr(files, "pose" if kind == "poses" else kind) is None for files in frames.values()):
                raise UserError(f"{folder}: no file matches {pattern}; give the right names by --{kind}")
        self._intrinsics(folder)
        if tum.is_tum(folder) and len(frames) < (pictures := len(tum.timed_files(folder / tum.LISTS[0]))):
            text = "%s: %d of %d pictures have a depth and a pose within %g s; the others are left out"
            log.warning(text, folder, len(frames), pictures, self.options.max_time_difference)
        relative = folder.relative_to(self.raw).as_posix()
        name = folder.resolve().name if relative == "." else relative
        return RawScene(name, split_of(folder, self.options.split), tuple(frames))

    def _files(self, scene: RawScene, frame: str) -> FrameFiles:
        folder = self._folder(scene)
        files = list_frames(folder, self.options).get(frame)
        if files is None:
            raise RawFault(folder / frame, "neither picture nor depth is there any more")
        return files

    def _folder(self, scene: RawScene) -> Path:
        return self.raw if is_sequence(self.raw, self.options) else self.raw / scene.name

    def _intrinsics(self, folder: Path) -> np.ndarray:
        """[3, 3], from the corner."""
        fx, fy, cx, cy = find_intrinsics(folder, self.raw, self.options.intrinsics)
        shift = 0.5 if self.options.pixel_origin == "centre" else 0.0
        return cameras.intrinsics_matrix(np.array((fx, fy, cx + shift, cy + shift)))

    def _cam_to_world(self, pose: Path | np.ndarray) -> np.ndarray:
        """[4, 4], OpenCV axes."""
        if isinstance(pose, Path):
            pose = _matrix_of_file(pose)
        if self.options.world_to_camera:
            pose = np.concatenate((cameras.invert_rigid(pose), np.eye(4)[3:]))
        return to_opencv(pose, self.options.axes)

    def _depth(self, file: Path, in_tum: bool) -> np.ndarray:
        """[H, W] float32 in metres, 0 = unknown."""
        values = read_depth_npy(file) if file.suffix == ".npy" else read_depth_png(file)
        kind = "tum" if in_tum else ".npy" if file.suffix == ".npy" else ".png"
        depth = in_units(values, self.options.depth_scale or DEPTH_SCALE[kind])
        for invalid in self.options.invalid_depth:
            depth[values == invalid] = 0.0
        return depth


def _matrix_of_file(file: Path) -> np.ndarray:
    read_bytes(file)  # a missing or empty file is a fault
    try:
        return trajectories.read_matrix(file)
    except ValueError as error:
        raise RawFault(file, str(error)) from error


@lru_cache(maxsize=1024)
def is_sequence(folder: Path, options: RgbdOptions) -> bool:
    """Whether a folder itself holds frames."""
    return tum.is_tum(folder) or any(match_files(folder, pattern) for pattern in (options.color, options.depth))


@lru_cache(maxsize=4)
def list_frames(folder: Path, options: RgbdOptions) -> dict[str, FrameFiles]:
    """The frames of a sequence by name, in order. Raises UserError if poses cannot be given to frames."""
    if tum.is_tum(folder):
        found = tum.read_sequence(folder, options.max_time_difference)
        return {name: FrameFiles(frame.color, frame.depth, frame.pose) for name, frame in found.items()}
    color, depth = match_files(folder, options.color), match_files(folder, options.depth)
    names = sorted(color.keys() | depth.keys(), key=natural_order)
    poses = _poses(folder, options.poses, [name for name in names if name in color], names)
    return {name: FrameFiles(color.get(name), depth.get(name), poses.get(name)) for name in names}


def _poses(folder: Path, pattern: str, pictured: list[str], names: list[str]) -> dict[str, Path | np.ndarray]:
    """Poses by frame name: a file each, or the lines of one file in the order of the pictures."""
    if "*" in pattern:
        return dict(match_files(folder, pattern))
    if not (folder / pattern).is_file():
        return {}
    poses = trajectories.read_trajectory(folder / pattern)
    for owners in (names, pictured):
        if len(owners) == len(poses):
            return dict(zip(owners, poses, strict=True))
    raise UserError(
        f"{folder / pattern}: {len(poses)} poses for {len(pictured)} pictures;"
        " expected one pose per picture, in the order of the pictures' names"
    )


def find_intrinsics(folder: Path, raw: Path, option: str | None) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy as given: four numbers or a file; looked for in the sequence's folder, then upwards to RAW."""
    if option and re.fullmatch(r"[^,]+(,[^,]+){3}", option):
        try:
            fx, fy, cx, cy = (float(number) for number in option.split(","))
            return fx, fy, cx, cy
        except ValueError as error:
            raise UserError(f"--intrinsics {option}: expected four numbers fx,fy,cx,cy or a file") from error
    names = (option,) if option else INTRINSICS_FILES
    upwards = [folder, *[parent for parent in folder.parents if parent == raw or raw in parent.parents]]
    for place in upwards:
        for name in names:
            if (place / name).is_file():
                fx, fy, cx, cy = trajectories.read_intrinsics(place / name).tolist()
                return fx, fy, cx, cy
    raise UserError(
        f"{folder}: no intrinsics ({', '.join(names)}) there or above; give --intrinsics fx,fy,cx,cy or a file"
    )


def split_of(folder: Path, default: str) -> str:
    """train or test if a TrainSplit.txt or TestSplit.txt beside the folder names it (`sequence2` = seq-02)."""
    number = re.fullmatch(r"seq-(\d+)", folder.name)
    for name, split in SPLIT_FILES.items():
        listing = folder.parent / name
        if number and listing.is_file():
            named = {int(found) for found in re.findall(r"sequence(\d+)", listing.read_text("utf-8", "replace"))}
            if int(number.group(1)) in named:
                return split
    return default
