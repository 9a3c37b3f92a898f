"""DL3DV-10K: videos of real places with COLMAP's cameras; no depth of its own, and no metric unit.

    RAW/<subset>/<hash>/              subset 1K to 11K; or <subset>/<hash>.zip as downloaded, which is read in place
      transforms.json                 lens (of the full size) and poses, camera to world, OpenGL axes
      images_4/frame_00001.png        of any resolution: images, images_2, images_4 or images_8; the largest is taken
      depth/frame_00001.npy           if you have depth of these pictures, see below
    RAW/<subset>/<hash>/dense/        the processed release of CUT3R's authors, rectified: unpacked, no zips
      rgb/frame_00001.png
      cam/frame_00001.npz             `intrinsic` [3, 3]; `pose` [4, 4], camera to world, OpenCV axes
      depth/frame_00001.npy

Such folders may lie at any depth; the benchmark's <hash>/nerfstudio/ is read too. A scene is <subset>/<hash>; where both
kinds are there, the dense one is taken. Frames are those with a pose; the pictures without one are told once per scene.

Depth is merged where there is any: below --depth DIR, in folders of the same names, or next to the pictures. Floats
[H, W], as large as the pictures, planar, in the unit of that scene's cameras; what is not positive and finite is
unknown. Next to depth/ there may be sky_mask/frame_00001.png (from 127 on it is the sky) and outlier_mask/ (from 110 on
the depth is not believed). A scene without depth keeps its pictures and cameras; a frame whose depth is missing while
its scene has depth is unusable. Depth of the dense release fits the dense pictures only.
"""

import argparse
import hashlib
import json
import logging
import posixpath
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.datasets import cameras
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.pictures import read_depth_npy, read_depth_png, read_npy, read_picture
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.sources import Folders, Source, Zipped, exists, find_folders, join, names_in, read_bytes

log = logging.getLogger(__name__)

HASH = r"[0-9a-f]{64}"
SCENE = re.compile(rf".*?/((?:\d+K/)?{HASH})")
TRANSFORMS = "transforms.json"
RESOLUTIONS = {"images": 1, "images_2": 2, "images_4": 4, "images_8": 8}  # folder -> how much smaller than the lens tells
PICTURE = re.compile(r"[\w .+-]{1,60}\.(png|jpg|jpeg)", re.IGNORECASE)
LENS_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")  # in OpenCV's order; 0 where the file has none
DENSE = "dense"
SKY, OUTLIER = 127, 110  # mask values from which on a pixel is sky, an outlier; as in the published training


@dataclass(frozen=True)
class Lens:
    """The one camera of a transforms.json.

    Attributes:
        width, height: of the pictures that it describes.
        focal: fx, fy in their pixels.
        centre: cx, cy, from the picture's corner.
        distortion: see `DISTORTION`.
    """

    width: float
    height: float
    focal: tuple[float, float]
    centre: tuple[float, float]
    distortion: tuple[float, ...]

    def intrinsics(self, width: float, height: float) -> np.ndarray:
        """[3, 3] of a picture of this size, a pure scaling."""
        values = cameras.scale_intrinsics(
            np.array((*self.focal, *self.centre)), width / self.width, height / self.height
        )
        return cameras.intrinsics_matrix(values)


@dataclass(frozen=True)
class Entry:
    """A frame of a transforms.json: its place in the file, the picture's file name, its matrix as it stands there."""

    place: int
    picture: str
    matrix: object


@dataclass(frozen=True)
class Transforms:
    """What a transforms.json holds.

    Attributes:
        lens: the camera.
        entries: frames by name, in order.
        left_out: entries that are no frames.
    """

    lens: Lens
    entries: dict[str, Entry]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Place:
    """Where a scene is read from: `folder` holds a transforms.json, or rgb and cam if it is dense."""

    folder: Source
    dense: bool


@dataclass(frozen=True)
class DL3DV:
    """The reader.

    Attributes:
        raw: see above.
        depth: folder of depth; None = where the pictures are.
        test: hashes of the scenes that go into the split test, sorted.
    """

    raw: Path
    depth: Path | None = None
    test: tuple[str, ...] = ()

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return DatasetInfo(
            slug="dl3dv",
            title="DL3DV-10K",
            licence="DL3DV-10K Terms of Use and CC BY-NC 4.0; access on request",
            kind="static",
            source="real",
            metres_per_raw_unit=None,
        )

    def settings(self) -> dict[str, object]:
        """Whether depth comes from another folder, and which scenes are for testing, as a hash."""
        test = hashlib.sha256(" ".join(self.test).encode()).hexdigest()[:16]
        return {"depth": self.depth is not None, "test": test if self.test else None}

    def scenes(self) -> list[RawScene]:
        """Scenes sorted by name. Raises UserError if there are none."""
        for folder, what in ((self.raw, "DL3DV's scenes"), (self.depth, "depth of DL3DV's scenes")):
            if folder is not None and not folder.is_dir():
                raise UserError(f"{folder}: no such folder; expected {what}")
        if not self.test:
            log.warning("without --test, the scenes of the published benchmark are among those for training")
        found = _folders(self.raw)
        scenes = [scene for name in found.places if (scene := self._scene(name)) is not None]
        if not any(scene.frames for scene in scenes):
            first = next((f" ({out.file}: {out.reason})" for scene in scenes for out in scene.left_out), "")
            text = f"no scene <subset>/<hash> with {TRANSFORMS} and pictures, or with {DENSE}/rgb and {DENSE}/cam"
            raise UserError(f"{self.raw}: {text}, in folders or zips{first}")
        if self.depth is not None:
            without = [scene for scene in scenes if scene.frames and self._depths(scene.name) is None]
            if len(without) == sum(bool(scene.frames) for scene in scenes):
                raise UserError(
                    f"{self.depth}: no depth of any scene; expected folders like {without[0].name}/depth, for the dense"
                    f" release {without[0].name}/{DENSE}/depth"
                )
            unreadable = tuple(replace(scene, name=f"depth: {scene.name}") for scene in _folders(self.depth).unreadable)
            return [*scenes, *found.unreadable, *unreadable]
        return [*scenes, *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera; of the official download, for a picture of the size that its folder's name promises."""
        place = self._place(scene.name)
        if place.dense:
            return _dense_camera(join(join(place.folder, "cam"), f"{frame}.npz"))
        file = join(place.folder, TRANSFORMS)
        transforms, resolution = read_transforms(file), RESOLUTIONS[_pictures(place.folder)]
        if frame not in transforms.entries:
            raise RawFault(file, "frames are missing that were there when the dataset was planned")
        lens = transforms.lens
        intrinsics = lens.intrinsics(lens.width / resolution, lens.height / resolution)
        return RawCamera(intrinsics, _pose(file, transforms.entries[frame]), file, lens.distortion)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        place, camera = self._place(scene.name), self.camera(scene, frame)
        if place.dense:
            image, jpeg = read_picture(join(join(place.folder, "rgb"), f"{frame}.png"))
        else:
            transforms = read_transforms(join(place.folder, TRANSFORMS))
            file = join(join(place.folder, _pictures(place.folder)), transforms.entries[frame].picture)
            image, jpeg = read_picture(file)
            camera = replace(camera, intrinsics=_fitting(file, transforms.lens, image))
        depth, sky = self._layers(scene.name, frame)
        return RawFrame(camera, image, jpeg, depth, sky)

    def _scene(self, name: str) -> RawScene | None:
        """None where folders of this name hold depth only."""
        folders = _folders(self.raw).places[name]
        split = "test" if posixpath.basename(name) in self.test else "train"
        places, left_out = _places(folders)
        if not places:
            if _depth_folder(folders, dense=False) or _depth_folder(folders, dense=True):
                return None
            missing = LeftOut(str(join(folders[0], TRANSFORMS)), "missing")
            return RawScene(name, split, (), left_out or (missing,))
        text = f"found twice; {places[0].folder} is used"
        left_out += tuple(LeftOut(str(place.folder), text) for place in places[1:])
        if self.depth is not None and self._depths(name) is None:
            left_out += (LeftOut(str(self.depth / name), "no depth; the scene is written without"),)
        try:
            frames, without_pose = _dense_frames(places[0].folder) if places[0].dense else _frames(places[0].folder)
        except RawFault as fault:
            return RawScene(name, split, (), (*left_out, LeftOut(fault.file, fault.reason)))
        return RawScene(name, split, frames, (*left_out, *without_pose))

    def _place(self, name: str) -> Place:
        """Where a scene is read from."""
        places, _ = _places(_folders(self.raw).places.get(name, ()))
        if not places:
            raise RawFault(self.raw / name, "missing")
        return places[0]

    def _depths(self, name: str) -> Source | None:
        """The folder that holds depth/ and the masks of a scene; None if it has no depth."""
        folders = _folders(self.raw if self.depth is None else self.depth).places.get(name, ())
        return _depth_folder(folders, self._place(name).dense)

    def _layers(self, name: str, frame: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Depth [H, W] float32 and sky [H, W] bool, if there are any."""
        folder = self._depths(name)
        if folder is None:
            return None, None
        file = join(join(folder, "depth"), f"{frame}.npy")
        values = read_depth_npy(file)
        if values.dtype.kind != "f":
            raise RawFault(file, f"depth is {values.dtype}, expected floats")
        depth = values.astype(np.float32)
        outliers, sky = (_mask(folder, kind, frame) for kind in ("outlier_mask", "sky_mask"))
        if outliers is not None:
            if outliers.shape != depth.shape:
                sizes = [f"{layer.shape[1]}x{layer.shape[0]}" for layer in (outliers, depth)]
                raise RawFault(join(folder, f"outlier_mask/{frame}.png"), f"mask is {sizes[0]}, the depth is {sizes[1]}")
            depth[outliers >= OUTLIER] = 0
        return depth, None if sky is None else sky >= SKY


def _mask(folder: Source, kind: str, frame: str) -> np.ndarray | None:
    """[H, W], as stored; None where the frame has no such mask."""
    file = join(folder, f"{kind}/{frame}.png")
    return read_depth_png(file) if exists(file) else None


def _fitting(file: Source, lens: Lens, image: np.ndarray) -> np.ndarray:
    """Intrinsics [3, 3] of a picture; it has the proportions of the lens' pictures, but for rounding."""
    height, width = image.shape[:2]
    if abs(width * lens.height - height * lens.width) > max(lens.width, lens.height):
        raise RawFault(
            file, f"picture is {width}x{height}, expected the proportions of {lens.width:g}x{lens.height:g} in {TRANSFORMS}"
        )
    return lens.intrinsics(width, height)


def _pose(file: Source, entry: Entry) -> np.ndarray:
    """Camera to world [4, 4] in OpenCV's axes: OpenGL's y and z point the other way."""
    try:
        pose = np.array(entry.matrix, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise RawFault(file, f"frame {entry.place}: transform_matrix is no matrix of numbers") from error
    if pose.shape != (4, 4):
        raise RawFault(file, f"frame {entry.place}: transform_matrix is {list(pose.shape)}, expected [4, 4]")
    pose[:3, 1:3] *= -1
    return pose


def _frames(folder: Source) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
    """Frames of the official download: those of its transforms.json; pictures that it does not name have no pose."""
    transforms = read_transforms(join(folder, TRANSFORMS))
    pictures = join(folder, _pictures(folder))
    named = {entry.picture for entry in transforms.entries.values()}
    rest = [name for name in names_in(pictures) if PICTURE.fullmatch(name) and name not in named]
    text = f"{len(rest)} pictures have no pose in {TRANSFORMS}"
    return tuple(transforms.entries), (*transforms.left_out, *([LeftOut(str(pictures), text)] if rest else []))


def _dense_frames(folder: Source) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
    """Frames of the dense release: what pictures and cameras have between them."""
    parts = (("rgb", ".png"), ("cam", ".npz"))
    names = {n.removesuffix(end) for part, end in parts for n in names_in(join(folder, part)) if n.endswith(end)}
    return tuple(sorted(names, key=_order)), ()


def _dense_camera(file: Source) -> RawCamera:
    """The camera of a frame of the dense release."""
    assert isinstance(file, Path), file
    read_bytes(file)  # a missing file, a folder: a fault
    arrays = []
    for name in ("intrinsic", "pose"):
        values = read_npy(Zipped(file, f"{name}.npy"))
        if values.dtype.kind not in "fiu":
            raise RawFault(file, f"{name} is {values.dtype}, expected numbers")
        arrays.append(values.astype(np.float64))
    return RawCamera(arrays[0], arrays[1], file)


@lru_cache(maxsize=2)
def read_transforms(file: Source) -> Transforms:
    """A transforms.json. Raises RawFault if it is none; what is wrong with single frames is told when they are read."""
    try:
        values = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise RawFault(file, f"unreadable JSON ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get("frames"), list):
        raise RawFault(file, "holds no list of frames")
    model = values.get("camera_model", LENS_MODELS[0])
    if model not in LENS_MODELS:
        raise RawFault(file, f"camera_model is {str(model)[:40]!r}, expected {', '.join(LENS_MODELS)}")
    width, height, *pinhole = (_number(file, values, name) for name in ("w", "h", "fl_x", "fl_y", "cx", "cy"))
    if width < 1 or height < 1:
        raise RawFault(file, f"w and h are {width:g} and {height:g}, expected the size of a picture")
    bent = tuple(_number(file, values, name, 0.0) for name in DISTORTION)
    entries, left_out = {}, []
    for place, value in enumerate(values["frames"]):
        path = value.get("file_path") if isinstance(value, dict) else None
        picture = posixpath.basename(path) if isinstance(path, str) else ""
        name = posixpath.splitext(picture)[0]
        if not PICTURE.fullmatch(picture):
            left_out.append(LeftOut(str(file), f"frame {place}: file_path is {str(path)[:40]!r}, expected a picture"))
        elif name in entries:
            left_out.append(LeftOut(str(file), f"frame {place}: {name} stands there twice; the first one is used"))
        else:
            entries[name] = Entry(place, picture, value.get("transform_matrix"))
    lens = Lens(width, height, (pinhole[0], pinhole[1]), (pinhole[2], pinhole[3]), bent)
    return Transforms(lens, {name: entries[name] for name in sorted(entries, key=_order)}, tuple(left_out))


def _number(file: Source, values: dict, name: str, otherwise: float | None = None) -> float:
    value = values.get(name, otherwise)
    if type(value) not in (int, float) or not abs(value) < 1e9:
        raise RawFault(file, f"{name} is {str(value)[:40]}, expected a number")
    return float(value)


def _order(name: str) -> tuple[int, str]:
    """Sort key: by the number at the end."""
    match = re.search(r"(\d{1,18})$", name)
    return int(match[1]) if match else -1, name


def _pictures(folder: Source) -> str:
    """The name of the folder of the largest pictures."""
    names = _resolutions(folder)
    if not names:
        raise RawFault(folder, f"no folder of pictures, expected one of {', '.join(RESOLUTIONS)}")
    return names[0]


@lru_cache(maxsize=8)
def _resolutions(folder: Source) -> tuple[str, ...]:
    return tuple(name for name in RESOLUTIONS if exists(join(folder, name)))


@lru_cache(maxsize=2)
def _folders(raw: Path) -> Folders:
    return find_folders(raw, SCENE)


@lru_cache(maxsize=8)
def _places(folders: tuple[Source, ...]) -> tuple[tuple[Place, ...], tuple[LeftOut, ...]]:
    """Where a scene's pictures and cameras are, the best place first; and what cannot be read from where it is."""
    official, dense, left_out = [], [], []
    for folder in folders:
        if exists(join(folder, f"{DENSE}/rgb")) or exists(join(folder, f"{DENSE}/cam")):
            if isinstance(folder, Zipped):
                left_out.append(LeftOut(f"{folder}/{DENSE}", "is in a zip; the dense release is read from folders only"))
            else:
                dense.append(Place(join(folder, DENSE), dense=True))
        for inner in (folder, join(folder, "nerfstudio")):
            if exists(join(inner, TRANSFORMS)):
                official.append(Place(inner, dense=False))
    return (*dense, *official), tuple(left_out)


@lru_cache(maxsize=8)
def _depth_folder(folders: tuple[Source, ...], dense: bool) -> Source | None:
    """The first folder with depth of the pictures of this kind."""
    inner = [join(folder, DENSE) if dense else folder for folder in folders]
    return next((folder for folder in inner if exists(join(folder, "depth"))), None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this reader."""
    parser.add_argument("raw", type=Path, metavar="RAW", help="folder of scenes, unpacked or zipped")
    parser.add_argument("--depth", type=Path, metavar="DIR", help="folder of depth (default: next to the pictures)")
    text = "text with the hashes of scenes for the split test, as the benchmark's benchmark-meta.csv (default: none)"
    parser.add_argument("--test", type=Path, metavar="FILE", help=text)


def reader_from_arguments(args: argparse.Namespace) -> DL3DV:
    """The reader that the arguments describe. Raises UserError for a --test without hashes."""
    test: list[str] = []
    if args.test is not None:
        try:
            test = sorted(set(re.findall(HASH, args.test.read_text("utf-8", "replace"))))
        except OSError as error:
            raise UserError(f"--test {args.test}: {error.strerror}; expected a text with hashes of scenes") from error
        if not test:
            raise UserError(f"--test {args.test}: no hash of 64 digits in it; expected those of scenes")
    return DL3DV(args.raw, args.depth, tuple(test))
