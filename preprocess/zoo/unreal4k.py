"""UnrealStereo4K (of SMD-Nets): nine rendered scenes, 8,200 stereo pairs of 3840x2160, with disparities.

    RAW/<scene>/                     00000 to 00008
      Image0/00000.png               left eye, 8-bit RGBA
      Disp0/00000.npy                floats, pixels of the image; 0 or less is unknown
      Extrinsics0/00000.txt          K by rows; then 3x4 by rows, world to camera, meters, left-handed world
      Image1, Disp1, Extrinsics1     right eye

Such folders may lie at any depth, or in zips as downloaded, which are read in place. What an eye sees of a scene is a
scene of its own, <scene>/<0|1>. Scene 00008, the authors' test on another place, is split `test`; the published
training does not leave it out. The authors' test pairs inside of the other scenes are trained on here, too.

The world is mirrored (Unreal's: its rotations have the determinant -1), so its x and y are swapped, once and for all;
code that makes quaternions of the poses as they are gets nonsense. Depth is focal length x baseline / disparity, where the
baseline differs from pair to pair and is taken from the two cameras. From 1,000 m on it is the sky.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import right_handed
from zipmap_pl.preprocess.convert.depth_of import of_disparity
from zipmap_pl.preprocess.formats.pictures import read_depth_npy, read_picture
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, names_in
from zipmap_pl.preprocess.formats.text_rows import numbers_of_row, text_rows
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFault, RawFrame, RawScene

SCENE = re.compile(r".*/(0000\d)")
FRAME = re.compile(r"(\d{5})\.(?:png|npy)")
EYES = ("0", "1")
TEST = "00008"
FAR = 1000.0  # meters; from here on it is the sky
BESIDE = 10.0  # times farther to the right than in other directions: the right eye

INFO = DatasetInfo(
    slug="unreal4k",
    title="UnrealStereo4K",
    licence="not stated for the data; the authors' code (SMD-Nets) is MIT",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://github.com/fabiotosi92/SMD-Nets",
    commercial=None,
    raw_size="599 GB in nine zips",
)


@dataclass(frozen=True)
class UnrealStereo4K:
    """The reader."""

    raw: Path = raw_folder("folder of scenes 00000 to 00008, unpacked or zipped")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """There are no options."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per eye, sorted by name; a folder found twice is reported for the left one. Raises UserError if there are none."""
        found = find_folders(self.raw, SCENE)
        if not found.places:
            raise UserError(f"{self.raw}: no scene 0000<n> in folders or archives")
        return [*(self._scene(name, eye) for name in found.places for eye in EYES), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an eye; pixels count from the image's corner (the published K has its center at half the size)."""
        folder, eye = self._eye(scene)
        return _camera(join(folder, f"Extrinsics{eye}/{frame}.txt"))

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame. Both eyes' disparities are positive."""
        camera = self.camera(scene, frame)
        folder, eye = self._eye(scene)
        image, _ = read_picture(join(folder, f"Image{eye}/{frame}.png"))  # without its alpha, which means nothing
        file = join(folder, f"Disp{eye}/{frame}.npy")
        disparity = read_depth_npy(file)
        if disparity.dtype.kind != "f":
            raise RawFault(file, f"depth is {disparity.dtype}, expected floats (disparities)")
        baseline = _baseline(*(_camera(join(folder, f"Extrinsics{k}/{frame}.txt")) for k in EYES))
        depth = of_disparity(disparity, float(camera.intrinsics[0, 0]), baseline)
        return RawFrame(camera, image, depth=depth, sky=depth >= FAR)

    def _scene(self, name: str, eye: str) -> RawScene:
        """Frames are the numbers that images and disparities have between them."""
        places = find_folders(self.raw, SCENE).places[name]
        matches = (
            FRAME.fullmatch(file) for part in ("Image", "Disp") for file in names_in(join(places[0], part + eye))
        )
        numbers = sorted({match[1] for match in matches if match})
        left_out = found_twice(places) if eye == EYES[0] else []
        return RawScene(f"{name}/{eye}", "test" if name == TEST else "train", tuple(numbers), tuple(left_out))

    def _eye(self, scene: RawScene) -> tuple[Source, str]:
        """The folder of the scene, and the eye."""
        name, eye = scene.name.split("/")
        places = find_folders(self.raw, SCENE).places.get(name)
        if not places:
            raise RawFault(self.raw / name, "missing")
        return places[0], eye


def _baseline(left: RawCamera, right: RawCamera) -> float:
    """How far the right eye is to the right of the left one, in meters."""
    between = (right.cam_to_world - left.cam_to_world)[:3, 3:]
    x, y, z = cameras.multiply(left.cam_to_world[:3, :3].T, between)[:, 0].tolist()
    if not x > BESIDE * max(abs(y), abs(z)):
        found = f"{x:.3g} m to the right, {y:.3g} m down and {z:.3g} m in front of the left one"
        raise RawFault(right.file, f"the right eye is {found}; expected beside it")
    return x


@lru_cache(maxsize=4)
def _camera(file: Source) -> RawCamera:
    """The camera that a file tells, in the world with x and y swapped."""
    if len(text_rows(file)) != 2:
        raise RawFault(file, f"{len(text_rows(file))} lines, expected 2 (intrinsics, pose)")
    intrinsics, pose = numbers_of_row(file, 0, 9, "K by rows"), numbers_of_row(file, 1, 12, "a 3x4 matrix")
    if not np.isfinite(pose).all():
        raise RawFault(file, f"pose holds {pose[~np.isfinite(pose)][0]}, expected finite numbers")
    cam_to_world = np.eye(4)
    cam_to_world[:3] = cameras.invert_rigid(right_handed(pose.reshape(3, 4)))
    return RawCamera(intrinsics.reshape(3, 3), cam_to_world, file)


READER = UnrealStereo4K
