"""DL3DV-10K: videos of real places with COLMAP's cameras; no depth of its own, and no metric unit.

    RAW/<subset>/<hash>/              subset 1K to 11K; or <subset>/<hash>.zip as downloaded, which is read in place
      transforms.json                 lens (of the full size) and poses, camera to world, OpenGL axes
      images_4/frame_00001.png        of any resolution: images, images_2, images_4 or images_8; the largest is taken
      depth/frame_00001.npy           if you have depth of these pictures, see below
    RAW/<subset>/<hash>/dense/        the processed release of CUT3R's authors, rectified: unpacked, no zips
      rgb/frame_00001.png
      cam/frame_00001.npz             `intrinsic` [3, 3]; `pose` [4, 4], camera to world, OpenCV axes
      depth/frame_00001.npy

Such folders may lie at any depth; the benchmark's <hash>/nerfstudio/ is read too. A scene is <subset>/<hash>. Where both
kinds are there, the one with depth is taken, of two the dense one. Frames are those with a pose; how many pictures have
none is told once per scene.

Depth is merged where there is any: below --depth DIR, in folders of the same names, or next to the pictures. Floats
[H, W], as large as the pictures, planar, in the unit of that scene's cameras; what is not positive and finite is
unknown. Next to depth/ there may be sky_mask/frame_00001.png (from 127 on it is the sky) and outlier_mask/ (from 110 on
the depth is not believed). A scene without depth keeps its pictures and cameras, but the published losses pass it over;
a frame whose depth is missing while its scene has depth is unusable. Depth of the dense release fits the dense pictures
only.
"""

import argparse
import hashlib
import logging
import posixpath
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess import processed_layers
from zipmap_pl.preprocess.nerfstudio import PICTURE, Transforms, read_transforms
from zipmap_pl.preprocess.pictures import read_picture
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.sources import Source, Zipped, exists, find_folders, found_twice, join, names_in

log = logging.getLogger(__name__)

HASH = r"[0-9a-f]{64}"
SCENE = re.compile(rf".*?/((?:\d+K/)?{HASH})")
TRANSFORMS = "transforms.json"
RESOLUTIONS = {"images": 1, "images_2": 2, "images_4": 4, "images_8": 8}  # how much smaller than the lens tells
DENSE = "dense"


@dataclass(frozen=True)
class Place:
    """Where a scene is read from.

    Attributes:
        folder: holds a transforms.json, or rgb and cam if it is dense.
        dense: whether it is of the processed release.
        depth: the folder that holds depth/ and masks of these pictures; None = there is none.
    """

    folder: Source
    dense: bool
    depth: Source | None


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
        found = find_folders(self.raw, SCENE)
        of_depth = None if self.depth is None else find_folders(self.depth, SCENE)
        if not self.test:
            log.warning("without --test, the scenes of the published benchmark are among those for training")
        scenes = [scene for name in found.places if (scene := self._scene(name)) is not None]
        usable = [scene.name for scene in scenes if scene.frames]
        scenes += found.unreadable
        if not usable:
            first = next((f" ({out.file}: {out.reason})" for scene in scenes for out in scene.left_out), "")
            text = f"no scene <subset>/<hash> with {TRANSFORMS} and pictures, or with {DENSE}/rgb and {DENSE}/cam"
            raise UserError(f"{self.raw}: {text}, in folders or zips{first}")
        without = sum(self._places(name)[0][0].depth is None for name in usable)
        if without:
            text = "%s: %d of %d scenes are without depth, which the published losses need"
            log.warning(text, self.raw, without, len(usable))
        if of_depth is not None:
            if without == len(usable):
                text = f"expected folders like {usable[0]}/depth, or {usable[0]}/{DENSE}/depth for the dense release"
                raise UserError(f"{self.depth}: no depth of any scene in it; {text}")
            scenes += (replace(scene, name=f"depth: {scene.name}") for scene in of_depth.unreadable)
        return scenes

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera; of the official download, for a picture of the size that its folder's name promises."""
        place = self._place(scene.name)
        if place.dense:
            assert isinstance(place.folder, Path), place
            return processed_layers.read_camera(place.folder, frame)
        transforms, resolution = _transforms(place.folder), RESOLUTIONS[_pictures(place.folder)]
        lens = transforms.lens
        intrinsics = lens.intrinsics(lens.width / resolution, lens.height / resolution)
        return RawCamera(intrinsics, transforms.pose(frame), transforms.file, lens.distortion)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        camera, place = self.camera(scene, frame), self._place(scene.name)
        if place.dense:
            image, jpeg = read_picture(join(join(place.folder, "rgb"), f"{frame}.png"))
        else:
            transforms = _transforms(place.folder)
            file = join(join(place.folder, _pictures(place.folder)), transforms.pictures[frame])
            image, jpeg = read_picture(file)
            camera = replace(camera, intrinsics=transforms.lens.intrinsics_of(file, image))
        depth, sky = (None, None) if place.depth is None else processed_layers.read_layers(place.depth, frame)
        return RawFrame(camera, image, jpeg, depth, sky)

    def _scene(self, name: str) -> RawScene | None:
        """None where folders of this name hold depth only."""
        folders = find_folders(self.raw, SCENE).places[name]
        split = "test" if posixpath.basename(name) in self.test else "train"
        places, left_out = self._places(name)
        if not places:
            if any(_depth_folder(folders, dense) for dense in (False, True)):
                return None
            missing = LeftOut(str(join(folders[0], TRANSFORMS)), "missing")
            return RawScene(name, split, (), left_out or (missing,))
        left_out += tuple(found_twice(tuple(place.folder for place in places)))
        if self.depth is not None and places[0].depth is None:
            left_out += (LeftOut(str(self.depth / name), "no depth; the scene is written without"),)
        try:
            if places[0].dense:
                return RawScene(name, split, processed_layers.frames_of(places[0].folder), left_out)
            frames, without_pose = _frames(places[0].folder)
        except RawFault as fault:
            return RawScene(name, split, (), (*left_out, LeftOut(fault.file, fault.reason)))
        return RawScene(name, split, frames, (*left_out, *without_pose))

    def _place(self, name: str) -> Place:
        """Where a scene is read from."""
        places, _ = self._places(name)
        if not places:
            raise RawFault(self.raw / name, "missing")
        return places[0]

    def _places(self, name: str) -> tuple[tuple[Place, ...], tuple[LeftOut, ...]]:
        """Where a scene could be read from, the best place first; and what cannot be read from where it is."""
        folders, depths = (find_folders(top, SCENE).places.get(name, ()) for top in (self.raw, self.depth or self.raw))
        return _places(folders, depths)


def _frames(folder: Source) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
    """Frames of the official download: those of its transforms.json; pictures that it does not name have no pose."""
    transforms = _transforms(folder)
    pictures, named = join(folder, _pictures(folder)), set(transforms.pictures.values())
    rest = sum(bool(PICTURE.fullmatch(name)) for name in set(names_in(pictures)) - named)
    left_out = [LeftOut(str(pictures), f"{rest} pictures have no pose in {TRANSFORMS}")] if rest else []
    return tuple(transforms.pictures), (*transforms.left_out, *left_out)


def _transforms(folder: Source) -> Transforms:
    return read_transforms(join(folder, TRANSFORMS))


def _pictures(folder: Source) -> str:
    """The name of the folder of the largest pictures."""
    names = _resolutions(folder)
    if not names:
        raise RawFault(folder, f"no folder of pictures, expected one of {', '.join(RESOLUTIONS)}")
    return names[0]


@lru_cache(maxsize=8)
def _resolutions(folder: Source) -> tuple[str, ...]:
    return tuple(name for name in RESOLUTIONS if exists(join(folder, name)))


@lru_cache(maxsize=16384)  # all scenes: who lists them asks twice
def _places(folders: tuple[Source, ...], depths: tuple[Source, ...]) -> tuple[tuple[Place, ...], tuple[LeftOut, ...]]:
    """See `DL3DV._places`; `folders` may hold the scene's pictures, `depths` their depth."""
    official, dense, left_out = [], [], []
    for folder in folders:
        if exists(join(folder, f"{DENSE}/rgb")) or exists(join(folder, f"{DENSE}/cam")):
            if isinstance(folder, Zipped):
                text = "is in a zip; the dense release is read from folders only"
                left_out.append(LeftOut(f"{folder}/{DENSE}", text))
            else:
                dense.append(Place(join(folder, DENSE), True, _depth_folder(depths, dense=True)))
        for inner in (folder, join(folder, "nerfstudio")):
            if exists(join(inner, TRANSFORMS)):
                official.append(Place(inner, False, _depth_folder(depths, dense=False)))
    return tuple(sorted((*dense, *official), key=lambda place: place.depth is None)), tuple(left_out)


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
