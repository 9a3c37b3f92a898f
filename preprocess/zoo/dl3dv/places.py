"""Where a scene of DL3DV may be read from: the official download, the processed release, a dense COLMAP workspace."""

import posixpath
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from zipmap_pl.preprocess.convert.match_sizes import registered
from zipmap_pl.preprocess.formats import colmap, processed_layers
from zipmap_pl.preprocess.formats.nerfstudio import PICTURE, Transforms, by_last_number, read_transforms
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.sources import Source, exists, join, names_in
from zipmap_pl.preprocess.raw import LeftOut, RawCamera, RawFault, RawFrame

TRANSFORMS = "transforms.json"
RESOLUTIONS = {
    "images": 1,
    "images_2": 2,
    "images_4": 4,
    "images_8": 8,
}  # how much smaller than its transforms.json says
DENSE = "dense"
DEPTH_MAPS = "stereo/depth_maps"


class Place(Protocol):
    """A folder that a scene can be read from."""

    @property
    def folder(self) -> Source:
        """Itself."""

    @property
    def has_depth(self) -> bool:
        """Whether there is depth of its pictures."""

    def frames(self) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
        """Frames in order, and what is none. Raises RawFault if they cannot be listed."""

    def camera(self, frame: str) -> RawCamera:
        """See `RawReader.camera`."""

    def frame(self, frame: str) -> RawFrame:
        """See `RawReader.frame`."""


@dataclass(frozen=True)
class Official:
    """The official download: pictures and transforms.json; and the folder of depth/ and masks of them, if there is one."""

    folder: Source
    depth: Source | None

    @property
    def has_depth(self) -> bool:
        """Whether there is depth of its pictures."""
        return self.depth is not None

    def frames(self) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
        """Those of its transforms.json; pictures that it does not name have no pose."""
        transforms = self._transforms
        left_out = _without_pose(self._pictures, set(transforms.pictures.values()), TRANSFORMS)
        return tuple(transforms.pictures), (*transforms.left_out, *left_out)

    def camera(self, frame: str) -> RawCamera:
        """For a picture of the size that its folder's name promises."""
        transforms, smaller = self._transforms, RESOLUTIONS[_resolution(self.folder)]
        camera = transforms.camera(frame)
        intrinsics = camera.intrinsics(camera.width / smaller, camera.height / smaller)
        return RawCamera(intrinsics, transforms.cam_to_world(frame), transforms.file, camera.distortion)

    def frame(self, frame: str) -> RawFrame:
        """The whole frame."""
        camera, transforms = self.camera(frame), self._transforms
        file = join(self._pictures, transforms.pictures[frame])
        image, jpeg = read_picture(file)
        camera = replace(camera, intrinsics=transforms.camera(frame).intrinsics_of(file, image))
        depth, sky = (None, None) if self.depth is None else processed_layers.read_layers(self.depth, frame)
        return RawFrame(camera, image, jpeg, depth, sky)

    @property
    def _transforms(self) -> Transforms:
        return read_transforms(join(self.folder, TRANSFORMS))

    @property
    def _pictures(self) -> Source:
        return join(self.folder, _resolution(self.folder))


@dataclass(frozen=True)
class Processed:
    """The release of CUT3R's authors: rgb and cam; and the folder of depth/ and masks of them, if there is one."""

    folder: Path
    depth: Source | None

    @property
    def has_depth(self) -> bool:
        """Whether there is depth of its pictures."""
        return self.depth is not None

    def frames(self) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
        """What pictures and cameras have between them."""
        return processed_layers.frames_of(self.folder), ()

    def camera(self, frame: str) -> RawCamera:
        """The camera."""
        return processed_layers.read_camera(self.folder, frame)

    def frame(self, frame: str) -> RawFrame:
        """The whole frame."""
        camera = self.camera(frame)
        image, jpeg = read_picture(self.folder / "rgb" / f"{frame}.png")
        depth, sky = (None, None) if self.depth is None else processed_layers.read_layers(self.depth, frame)
        return RawFrame(camera, image, jpeg, depth, sky)


@dataclass(frozen=True)
class Workspace:
    """What COLMAP's image_undistorter and patch_match_stereo leave: images, sparse and stereo/depth_maps."""

    folder: Source
    has_depth: bool = True

    def frames(self) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
        """Those of its model, by the numbers of their names."""
        names = self._names
        left_out = _without_pose(join(self.folder, "images"), set(names.values()), "sparse")
        return tuple(sorted(names, key=by_last_number)), left_out

    def camera(self, frame: str) -> RawCamera:
        """The camera."""
        return self._image(frame).camera

    def frame(self, frame: str) -> RawFrame:
        """The whole frame, at the size of the depth, should that be smaller than the picture."""
        found, name = self._image(frame), self._names[frame]
        file = join(self.folder, f"images/{name}")
        image, jpeg = read_picture(file)
        if image.shape[:2] != found.size:
            told = f"{found.size[1]}x{found.size[0]}"
            raise RawFault(file, f"picture is {image.shape[1]}x{image.shape[0]}, its camera in sparse is for {told}")
        depth = colmap.read_depth_map(join(self.folder, f"{DEPTH_MAPS}/{name}.geometric.bin"))
        shares = np.array(((depth.shape[1] / image.shape[1],), (depth.shape[0] / image.shape[0],), (1.0,)))
        of_depth = replace(found.camera, intrinsics=found.camera.intrinsics * shares)
        return registered(of_depth, image, jpeg, depth, file)

    @property
    def _names(self) -> dict[str, str]:
        return {posixpath.splitext(name)[0]: name for name in colmap.read_model(join(self.folder, "sparse"))}

    def _image(self, frame: str) -> colmap.Image:
        images = colmap.read_model(join(self.folder, "sparse"))
        name = self._names.get(frame)
        if name is None:
            raise RawFault(join(self.folder, "sparse"), "pictures are missing that were there when they were listed")
        return images[name]


def _without_pose(pictures: Source, named: set[str], by: str) -> tuple[LeftOut, ...]:
    rest = sum(bool(PICTURE.fullmatch(name)) for name in set(names_in(pictures)) - named)
    return (LeftOut(str(pictures), f"{rest} pictures have no pose in {by}"),) if rest else ()


def _resolution(folder: Source) -> str:
    """The name of the folder of the largest pictures."""
    names = _resolutions(folder)
    if not names:
        raise RawFault(folder, f"no folder of pictures, expected one of {', '.join(RESOLUTIONS)}")
    return names[0]


@lru_cache(maxsize=8)
def _resolutions(folder: Source) -> tuple[str, ...]:
    return tuple(name for name in RESOLUTIONS if exists(join(folder, name)))


@lru_cache(maxsize=16384)  # all scenes: who lists them asks twice
def places_of(folders: tuple[Source, ...], depths: tuple[Source, ...]) -> tuple[tuple[Place, ...], tuple[LeftOut, ...]]:
    """Where a scene could be read from, the best place first; and what cannot be read from where it is.

    Args:
        folders: that may hold the scene's pictures.
        depths: that may hold their depth.
    """
    official: list[Place] = []
    dense: list[Place] = []
    left_out = []
    for folder in folders:
        if exists(join(folder, f"{DENSE}/rgb")) or exists(join(folder, f"{DENSE}/cam")):
            if not isinstance(folder, Path):
                text = "is in a zip; the dense release is read from folders only"
                left_out.append(LeftOut(f"{folder}/{DENSE}", text))
            else:
                dense.append(Processed(folder / DENSE, depth_folder(depths, dense=True)))
        for inner in (folder, join(folder, DENSE)):
            if exists(join(inner, DEPTH_MAPS)) and exists(join(inner, "sparse")):
                dense.append(Workspace(inner))
        for inner in (folder, join(folder, "nerfstudio")):
            if exists(join(inner, TRANSFORMS)):
                official.append(Official(inner, depth_folder(depths, dense=False)))
    return tuple(sorted((*dense, *official), key=lambda place: not place.has_depth)), tuple(left_out)


def depth_folder(folders: tuple[Source, ...], dense: bool) -> Source | None:
    """The first folder with depth of the pictures of this kind."""
    inner = [join(folder, DENSE) if dense else folder for folder in folders]
    return next((folder for folder in inner if exists(join(folder, "depth"))), None)
