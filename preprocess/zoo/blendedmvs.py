"""BlendedMVS, BlendedMVS+ and BlendedMVS++: 502 places in photos whose light is real and whose shapes are rendered; not metric.

    RAW/<24 hex digits>/
      blended_images/00000000.jpg           768x576; 00000000_masked.jpg is not read
      cams/00000000_cam.txt                 "extrinsic", 4x4 world to camera; "intrinsic", 3x3; a line on the range of depth
      rendered_depth_maps/00000000.pfm      planar; 0 = no surface
    RAW/new_overlap.h5                      CUT3R's file of which images see the same, if it is there

Unpacked, in any folder below RAW, or in zips, which are read in place. The downloads are zips in parts, which have to be joined
first: `zip -s- BlendedMVS.zip -O joined.zip`. The seven scenes of the official validation list are the split val; the published
training uses them, too.

Images without any depth are kept: their cameras are good. Overlaps are computed from depth unless `new_overlap.h5` lies at the
top of RAW, whose numbers are then the neighbours. Those of pair.txt are scores without a scale, and not used.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.formats.hdf5 import opened
from zipmap_pl.preprocess.formats.pfm import read_pfm
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, names_in, read_bytes
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFault, RawFrame, RawScene

SCENE = re.compile(r".*/([0-9a-f]{24})")
FRAME = re.compile(r"(\d{8})(?:\.jpg|_cam\.txt|\.pfm)")
IMAGES, CAMERAS, DEPTHS = "blended_images", "cams", "rendered_depth_maps"
OVERLAPS = "new_overlap.h5"
VALIDATION = (
    "5b7a3890fc8fcf6781e2593a",
    "5c189f2326173c3a09ed7ef3",
    "5b950c71608de421b1e7318f",
    "5a6400933d809f1d8200af15",
    "59d2657f82ca7774b1ec081d",
    "5ba19a8a360c7c30c1c169df",
    "59817e4a1bd4b175e7038d19",
)

INFO = DatasetInfo(
    slug="blendedmvs",
    title="BlendedMVS, BlendedMVS+ and BlendedMVS++",
    licence="CC BY 4.0; no registration",
    kind="static",
    source="real",
    metres_per_raw_unit=None,
    url="https://github.com/YoYo000/BlendedMVS",
    commercial=True,
    raw_size="189 GB in low resolution",
)


@dataclass(frozen=True)
class BlendedMvs:
    """The reader."""

    raw: Path = raw_folder("folder of scenes (24 hex digits each), unpacked or in joined zips")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Where overlaps are from."""
        return {**settings_of(self), "overlaps": "given" if (self.raw / OVERLAPS).exists() else "computed"}

    def scenes(self) -> list[RawScene]:
        """One scene per place, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, SCENE)
        if not found.places:
            parts = sorted(self.raw.rglob("*.z01"))
            hint = (
                f"; {parts[0]} is a part of a zip: join the parts with `zip -s- X.zip -O joined.zip`" if parts else ""
            )
            raise UserError(f"{self.raw}: no scene (a folder whose name is 24 hex digits) in folders or zips{hint}")
        return [*(self._scene(name, places) for name, places in found.places.items()), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera. Whether the principal point counts from a corner is not published; it is kept as it is stored."""
        file = self._file(scene, CAMERAS, f"{frame}_cam.txt")
        words = read_bytes(file).decode("utf-8-sig", "replace").split()
        world_to_cam = _matrix(file, words, "extrinsic", 4)
        intrinsics = _matrix(file, words, "intrinsic", 3)
        cam_to_world = np.eye(4)
        cam_to_world[:3] = cameras.invert_rigid(world_to_cam[:3])
        return RawCamera(intrinsics, cam_to_world, file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        image, jpeg = read_picture(self._file(scene, IMAGES, f"{frame}.jpg"))
        depth = read_pfm(self._file(scene, DEPTHS, f"{frame}.pfm"))
        file = self.raw / OVERLAPS
        overlaps = given_overlaps(file, scene.name).get(frame, ()) if file.exists() else None
        return RawFrame(self.camera(scene, frame), image, jpeg, depth, overlaps=overlaps)

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the numbers that images, cameras and depths have between them."""
        files = (file for part in (IMAGES, CAMERAS, DEPTHS) for file in names_in(join(places[0], part)))
        frames = {match[1] for file in files if (match := FRAME.fullmatch(file))}
        split = "val" if name in VALIDATION else "train"
        return RawScene(name, split, tuple(sorted(frames)), tuple(found_twice(places)))

    def _file(self, scene: RawScene, part: str, name: str) -> Source:
        places = find_folders(self.raw, SCENE).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return join(places[0], f"{part}/{name}")


def _matrix(file: Source, words: list[str], name: str, side: int) -> np.ndarray:
    """The numbers [side, side] after a word of a camera's file; they may be NaN. Raises RawFault."""
    start = words.index(name) + 1 if name in words else len(words)
    try:
        values = np.array([float(word) for word in words[start : start + side * side]])
    except ValueError as error:
        raise RawFault(file, f"{name}: {error}") from error
    if values.size != side * side:
        raise RawFault(file, f"{values.size} numbers after {name!r}, expected {side * side}")
    return values.reshape(side, side)


@lru_cache(maxsize=2)
def given_overlaps(file: Path, scene: str) -> dict[str, tuple[tuple[str, float], ...]]:
    """What a file of overlaps says of each frame of a scene: names and shares; none if the scene is not in it. RawFault."""
    with opened(file) as hdf5:
        if scene not in hdf5.names():
            return {}
        names = hdf5.texts(f"{scene}/basenames")
        indices = hdf5.array(f"{scene}/indices", "i", (2, None))
        shares = hdf5.array(f"{scene}/values", "f", (None,))
    if indices.shape[1] != shares.size or indices.min(initial=0) < 0 or indices.max(initial=0) >= max(len(names), 1):
        raise RawFault(
            file, f"{scene}: {shares.size} values for {indices.shape[1]} pairs of {len(names)} images do not fit"
        )
    given: dict[str, list[tuple[str, float]]] = {name: [] for name in names}
    for one, other, share in zip(*indices.tolist(), shares.tolist(), strict=True):
        if one != other and share > 0:
            given[names[one]].append((names[other], min(share, 1.0)))
    return {name: tuple(pairs) for name, pairs in given.items()}


READER = BlendedMvs
