"""Bring your own RGB-D sequences: a folder per sequence, in 7-Scenes style or in TUM style.

    RAW/                                  RAW/
      frame-000000.color.jpg (or .png)      rgb.txt, depth.txt       lines `timestamp file`
      frame-000000.depth.png                groundtruth.txt          lines `timestamp tx ty tz qx qy qz qw`
      frame-000000.pose.txt                 rgb/, depth/
      camera-intrinsics.txt

RAW may also hold such folders, at any depth; each is a scene then. Other names, pose formats and axes: by options.
"""

import argparse
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.datasets import cameras
from zipmap_pl.datasets.schema import slug_of
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess import trajectories
from zipmap_pl.preprocess.pictures import read_depth_npy, read_depth_png, read_picture
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.sources import read_bytes

log = logging.getLogger(__name__)

TUM_FILES = ("rgb.txt", "depth.txt", "groundtruth.txt")
INTRINSICS_FILES = ("camera-intrinsics.txt", "intrinsics.txt", "K.txt")
SPLIT_FILES = {"TrainSplit.txt": "train", "TestSplit.txt": "test"}
TOLD_BY_INFO = ("slug", "licence", "moving", "rendered")
DEPTH_SCALE = {"tum": 5000.0, ".png": 1000.0, ".npy": 1.0}  # stored values per metre

# What turns a camera with other axes into one with OpenCV's: cam_to_world_opencv = cam_to_world_raw @ AXES.
AXES = {
    "opencv": np.eye(4),
    "opengl": np.diag((1.0, -1.0, -1.0, 1.0)),
    "ned": np.array(((0.0, 0, 1, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1))),
}


@dataclass(frozen=True)
class RgbdOptions:
    """How the raw files are to be read; see `add_arguments` for the words.

    Attributes:
        slug: short name of the dataset.
        licence: who may use it and how.
        moving: things other than the camera move.
        rendered: the pictures are rendered, not taken by a camera.
        color, depth, poses: glob patterns below a sequence's folder; what the first * stands for is the frame's name.
            `poses` without * is one file for the sequence, in the order of the frames.
        intrinsics: "fx,fy,cx,cy", or a file below the sequence's folder or RAW; None = look for the usual names.
        pixel_origin: where the principal point is measured from: the picture's "corner", or its first pixel's "centre".
        depth_scale: stored depth values per metre; None = 1000 for PNG, 1 for numpy, 5000 for TUM.
        invalid_depth: stored values that mean unknown, besides 0.
        axes: camera axes of the poses: "opencv", "opengl" or "ned".
        world_to_camera: the poses map world to camera, not camera to world.
        max_time_difference: seconds between a picture and its depth or pose (TUM).
        split: split of sequences that no TrainSplit.txt or TestSplit.txt names.
    """

    slug: str
    licence: str = "not stated"
    moving: bool = False
    rendered: bool = False
    color: str = "frame-*.color.*"
    depth: str = "frame-*.depth.png"
    poses: str = "frame-*.pose.txt"
    intrinsics: str | None = None
    pixel_origin: str = "corner"
    depth_scale: float | None = None
    invalid_depth: tuple[float, ...] = (65535.0,)
    axes: str = "opencv"
    world_to_camera: bool = False
    max_time_difference: float = 0.02
    split: str = "train"


@dataclass(frozen=True)
class FrameFiles:
    """Where a frame's parts are; None = missing. `pose` is a file or a matrix."""

    color: Path | None
    depth: Path | None
    pose: Path | np.ndarray | None


@dataclass(frozen=True)
class RgbdFolder:
    """The reader."""

    raw: Path
    options: RgbdOptions

    @property
    def info(self) -> DatasetInfo:
        """As the options say; always in metres."""
        return DatasetInfo(
            slug=self.options.slug,
            title=f"RGB-D sequences {self.options.slug}",
            licence=self.options.licence,
            kind="dynamic" if self.options.moving else "static",
            source="synthetic" if self.options.rendered else "real",
            metres_per_raw_unit=1.0,
        )

    def settings(self) -> dict[str, object]:
        """All options but those that `info` tells."""
        return {name: value for name, value in vars(self.options).items() if name not in TOLD_BY_INFO}

    def scenes(self) -> list[RawScene]:
        """One scene per folder with frames, sorted by path. Raises UserError if there are none or files are missing."""
        if not self.raw.is_dir():
            raise UserError(f"{self.raw}: no such folder; expected RGB-D sequences")
        scenes = [self._scene(folder) for folder in self._sequence_folders()]
        if not scenes:
            raise UserError(
                f"{self.raw}: no frames found: neither all of {', '.join(TUM_FILES)}, nor pictures {self.options.color},"
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
        return RawFrame(camera, image, jpeg, self._depth(files.depth, is_tum(self._folder(scene))))

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
        for kind, pattern in {} if is_tum(folder) else kinds.items():
            if all(getattr(files, "pose" if kind == "poses" else kind) is None for files in frames.values()):
                raise UserError(f"{folder}: no file matches {pattern}; give the right names by --{kind}")
        self._intrinsics(folder)
        if is_tum(folder) and len(frames) < (pictures := len(_timed_files(folder / TUM_FILES[0]))):
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
        cam_to_world = pose.astype(np.float64)
        with np.errstate(invalid="ignore"):
            cam_to_world[:3, :3] = cameras.multiply(pose[:3, :3], AXES[self.options.axes][:3, :3])
        return cam_to_world

    def _depth(self, file: Path, tum: bool) -> np.ndarray:
        """[H, W] float32 in metres, 0 = unknown."""
        values = read_depth_npy(file) if file.suffix == ".npy" else read_depth_png(file)
        scale = self.options.depth_scale or DEPTH_SCALE["tum" if tum else ".npy" if file.suffix == ".npy" else ".png"]
        wide = values.dtype.itemsize > 2 or scale != np.float32(scale)  # a quotient of small integers is exact enough
        depth = (values / (np.float64(scale) if wide else np.float32(scale))).astype(np.float32, copy=False)
        for invalid in self.options.invalid_depth:
            depth[values == invalid] = 0.0
        return depth


def _matrix_of_file(file: Path) -> np.ndarray:
    read_bytes(file)  # a missing or empty file is a fault
    try:
        return trajectories.read_matrix(file)
    except ValueError as error:
        raise RawFault(file, str(error)) from error


def is_tum(folder: Path) -> bool:
    """Whether a folder is a sequence in TUM style."""
    return all((folder / name).is_file() for name in TUM_FILES)


@lru_cache(maxsize=1024)
def is_sequence(folder: Path, options: RgbdOptions) -> bool:
    """Whether a folder itself holds frames."""
    return is_tum(folder) or any(match_files(folder, pattern) for pattern in (options.color, options.depth))


def match_files(folder: Path, pattern: str) -> dict[str, Path]:
    """Files below `folder` that fit `pattern`, by what the first * of the pattern stands for.

    Raises:
        UserError: two files fit the same frame.
    """
    below, name = os.path.split(pattern)
    before, *rest = name.split("*")
    expression = re.compile(
        re.escape(before) + "(.*?)" + ".*".join(map(re.escape, rest)) if rest else re.escape(before) + "()"
    )
    found: dict[str, Path] = {}
    try:
        entries = sorted(entry.name for entry in os.scandir(folder / below) if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for entry in entries:
        match = expression.fullmatch(entry)
        if match and found.setdefault(match.group(1), folder / below / entry).name != entry:
            raise UserError(
                f"{folder / below / entry}: {found[match.group(1)].name} fits {pattern} for the same frame; remove one"
            )
    return found


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key: numbers in names count as numbers."""
    return [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in re.split(r"(\d+)", name) if word]


@lru_cache(maxsize=4)
def list_frames(folder: Path, options: RgbdOptions) -> dict[str, FrameFiles]:
    """The frames of a sequence by name, in order. Raises UserError if poses cannot be given to frames."""
    if is_tum(folder):
        return _associate(folder, options.max_time_difference)
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


def _associate(folder: Path, limit: float) -> dict[str, FrameFiles]:
    """Frames of a TUM sequence: each picture with the nearest depth (used once) and the nearest pose in time."""
    color, depth = (_timed_files(folder / name) for name in TUM_FILES[:2])
    pose_times, poses = trajectories.read_timed_trajectory(folder / TUM_FILES[2])
    partner = _match_times(np.array([time for time, _, _ in color]), np.array([time for time, _, _ in depth]), limit)
    frames = {}
    for place, (time, stamp, file) in enumerate(color):
        nearest = int(np.argmin(np.abs(pose_times - time)))
        if place in partner and abs(pose_times[nearest] - time) <= limit:
            frames[stamp] = FrameFiles(file, depth[partner[place]][2], poses[nearest])
    if not frames:
        raise UserError(f"{folder}: no picture has a depth and a pose within {limit:g} s; see --max-time-difference")
    return frames


def _match_times(times: np.ndarray, others: np.ndarray, limit: float) -> dict[int, int]:
    """One-to-one pairs of places (in sorted times), the closest first, at most `limit` seconds apart."""
    pairs = []
    for place, time in enumerate(times):
        low, high = np.searchsorted(others, (time - limit, time + limit), "left")
        pairs += [(abs(others[k] - time), place, k) for k in range(max(low - 1, 0), min(high + 1, len(others)))]
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for difference, place, other in sorted(pairs):
        if difference <= limit and place not in matched and other not in taken:
            matched[place] = other
            taken.add(other)
    return matched


def _timed_files(listing: Path) -> list[tuple[float, str, Path]]:
    """Lines `timestamp file` as (seconds, the timestamp's text, path), sorted by time."""
    entries = []
    for number, line in enumerate(listing.read_text("utf-8", "replace").splitlines(), start=1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        try:
            entries.append((float(words[0]), words[0], listing.parent / words[1].strip()))
        except (ValueError, IndexError) as error:
            raise UserError(f"{listing}: line {number} is {line[:60]!r}, expected `timestamp file`") from error
    return sorted(entries)


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this reader."""
    default = RgbdOptions("")
    parser.add_argument("raw", type=Path, metavar="RAW", help="a sequence's folder, or a folder of such folders")
    group = parser.add_argument_group("raw files")
    group.add_argument("--slug", help="short name of the dataset (default: the name of RAW)")
    group.add_argument("--licence", default=default.licence, help="written to dataset.json")
    group.add_argument(
        "--moving", action="store_true", help="things other than the camera move (default: a still world)"
    )
    group.add_argument("--rendered", action="store_true", help="rendered pictures (default: taken by a camera)")
    group.add_argument("--color", default=default.color, metavar="PATTERN", help="pictures (default: %(default)s)")
    group.add_argument(
        "--depth", default=default.depth, metavar="PATTERN", help="depth, .png or .npy (default: %(default)s)"
    )
    text = "a file per frame (with *), or one file: " + trajectories.FORMATS + " (default: %(default)s)"
    group.add_argument("--poses", default=default.poses, metavar="PATTERN", help=text)
    group.add_argument("--intrinsics", metavar="fx,fy,cx,cy|FILE", help=f"default: {', '.join(INTRINSICS_FILES)}")
    text = (
        "the principal point is measured from the picture's corner or its first pixel's centre (default: %(default)s)"
    )
    group.add_argument("--pixel-origin", choices=("corner", "centre"), default=default.pixel_origin, help=text)
    text = "stored values per metre (default: 1000 for PNG, 1 for numpy, 5000 for TUM)"
    group.add_argument("--depth-scale", type=float, metavar="N", help=text)
    text = "stored values that mean unknown, besides 0 (default: 65535)"
    group.add_argument("--invalid-depth", type=_numbers, default=default.invalid_depth, metavar="N,N", help=text)
    text = "camera axes of the poses (default: %(default)s)"
    group.add_argument("--axes", choices=tuple(AXES), default=default.axes, help=text)
    group.add_argument(
        "--world-to-camera", action="store_true", help="poses map world to camera (default: camera to world)"
    )
    text = "TUM: seconds between a picture and its depth or pose (default: %(default)s)"
    group.add_argument("--max-time-difference", type=float, default=default.max_time_difference, metavar="S", help=text)
    text = "split of sequences that no TrainSplit.txt or TestSplit.txt names (default: %(default)s)"
    group.add_argument("--split", default=default.split, help=text)


def reader_from_arguments(args: argparse.Namespace) -> RgbdFolder:
    """The reader that the arguments describe."""
    if args.depth_scale is not None and not 0 < args.depth_scale < float("inf"):
        raise UserError(f"--depth-scale {args.depth_scale}: expected a number above 0")
    names = RgbdOptions.__dataclass_fields__
    values = {name: value for name, value in vars(args).items() if name in names}
    values["slug"] = args.slug or slug_of(args.raw.resolve().name)
    return RgbdFolder(args.raw, RgbdOptions(**values))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(",") if word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}, expected numbers with commas between them") from error
