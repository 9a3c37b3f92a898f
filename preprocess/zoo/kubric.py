"""Kubric, as CoTracker3 released it: 5,869 rendered videos of falling and moving objects, 120 frames of 512x512, metric.

    RAW/0000.tar.gz                     to 5868.tar.gz, read in place; or unpacked, also as 0000/0000
      0000/frames/000.png
      0000/depths/000.npy               float64, planar
      0000/0000_with_rank.npz           extrinsics [T, 3, 4], world to camera; shared_intrinsics [3, 3], pixels
      0000/0000.npy                     a pickle of 145 MB; never opened

A scene is an archive, all for training. Reading through an archive takes seconds, once. Objects move, and nothing marks them.
The dome behind everything is tens of meters away; training leaves out what is beyond 30 m.

The extrinsics are OpenCV's, as two programs that read them say; published training takes the pickle's poses, which are OpenGL's,
for OpenCV's. Depth tells: if the first scene fits OpenGL's axes better, nothing is read without `--axes opengl`.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.inspection.agreement import GOOD, DepthView, compare
from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.formats.npz import read_arrays
from zipmap_pl.preprocess.formats.pictures import read_depth_npy, read_picture
from zipmap_pl.preprocess.formats.sources import Source, exists, find_folders, found_twice, join, names_in, tar_tables
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFault, RawFrame, RawScene

SCENE = re.compile(r".*/(\d{4})")
FRAME = re.compile(r"(\d{3})\.(?:png|npy)")
AXES = ("opencv", "opengl")
BETTER = 0.05  # share of the pixels by which the other axes must fit better
PAIRS = ((0, 0.25), (0, 0.5), (0.25, 0.75))  # frames that are compared for it, as shares of the video

INFO = DatasetInfo(
    slug="kubric",
    title="Kubric, as CoTracker3 released it",
    licence="Apache-2.0; no registration",
    kind="dynamic",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://huggingface.co/datasets/facebook/CoTracker3_Kubric",
    commercial=True,
    raw_size="about 1.75 TB of tar.gz",
)


@dataclass(frozen=True)
class Kubric:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        axes: of the cameras.
    """

    raw: Path = raw_folder("folder of archives 0000.tar.gz, or of folders 0000")
    axes: str = option("opencv", "axes of the cameras (default: %(default)s)", choices=AXES)

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which axes."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The tables of all archives."""
        return tar_tables(self.raw, SCENE)

    def alternatives(self) -> dict[str, "Kubric"]:
        """The other axes."""
        other = self._with_other_axes()
        return {f"--axes {other.axes}": other}

    def scenes(self) -> list[RawScene]:
        """One scene per archive, sorted by name. Raises UserError if there are none, or if the other axes fit better."""
        found = find_folders(self.raw, SCENE, tars=True)
        if not found.places:
            raise UserError(f"{self.raw}: no <nnnn>.tar.gz and no folder <nnnn>, such as 0000")
        scenes = [self._scene(name, places) for name, places in found.places.items()]
        self._refuse_other_axes(scenes[0])
        return [*scenes, *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of a frame, from whose corner pixels count."""
        file = join(self._folder(scene), f"{scene.name}_with_rank.npz")
        extrinsics, intrinsics = _cameras(file)
        if int(frame) >= len(extrinsics):
            raise RawFault(file, f"extrinsics of {len(extrinsics)} frames, fewer than there are")
        cam_to_world = np.eye(4)
        cam_to_world[:3] = cameras.invert_rigid(extrinsics[int(frame)])
        return RawCamera(intrinsics, to_opencv(cam_to_world, self.axes), file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        folder = self._folder(scene)
        image, _ = read_picture(join(folder, f"frames/{frame}.png"))
        depth = read_depth_npy(file := join(folder, f"depths/{frame}.npy"))
        if depth.dtype.kind != "f":
            raise RawFault(file, f"depth is {depth.dtype}, expected floats")
        return RawFrame(self.camera(scene, frame), image, depth=depth.astype(np.float32))

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the numbers that images and depths have between them."""
        folder = _inner(places[0], name)
        files = (file for part in ("frames", "depths") for file in names_in(join(folder, part)))
        frames = {match[1] for file in files if (match := FRAME.fullmatch(file))}
        return RawScene(name, "train", tuple(sorted(frames)), tuple(found_twice(places)))

    def _folder(self, scene: RawScene) -> Source:
        places = find_folders(self.raw, SCENE, tars=True).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return _inner(places[0], scene.name)

    def _refuse_other_axes(self, scene: RawScene) -> None:
        """Raise UserError if the first scene's depth and cameras fit the other axes better. Damaged frames are not compared."""
        other = self._with_other_axes()
        shares = [reader._share_that_fits(scene) for reader in (self, other)]
        if shares[1] > shares[0] + BETTER:
            raise UserError(
                f"{self.raw}: {scene.name}: {shares[1]:.0%} of the depth fits with --axes {other.axes}, {shares[0]:.0%} with"
                f" {self.axes}; give --axes {other.axes}"
            )

    def _share_that_fits(self, scene: RawScene) -> float:
        """Share of the pixels whose depth, carried into another frame, is what is there; 0 if nothing can be compared."""
        found = [np.zeros(0, bool)]
        for pair in PAIRS:
            try:
                one, two = (_view_of(self.frame(scene, scene.frames[int(place * len(scene.frames))])) for place in pair)
            except (RawFault, IndexError):
                continue
            relative, slack = compare(one, two)
            found.append(relative <= GOOD + slack)
        fits = np.concatenate(found)
        return float(fits.mean()) if fits.size else 0.0

    def _with_other_axes(self) -> "Kubric":
        return replace(self, axes=next(axes for axes in AXES if axes != self.axes))


def _inner(folder: Source, name: str) -> Source:
    """Some unpack an archive into a folder of its name."""
    return join(folder, name) if exists(join(folder, f"{name}/frames")) else folder


def _view_of(frame: RawFrame) -> DepthView:
    assert frame.depth is not None
    depth, world_to_cam = (
        np.where(np.isfinite(frame.depth), frame.depth, 0),
        cameras.invert_rigid(frame.camera.cam_to_world),
    )
    return DepthView(depth[::4, ::4], frame.camera.intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)] / 4, world_to_cam)


@lru_cache(maxsize=2)
def _cameras(file: Source) -> tuple[np.ndarray, np.ndarray]:
    """World to camera [T, 3, 4] and intrinsics [3, 3] of a scene. Raises RawFault."""
    extrinsics, intrinsics = (
        array.astype(np.float64) for array in read_arrays(file, "extrinsics", "shared_intrinsics")
    )
    if extrinsics.ndim != 3 or extrinsics.shape[1:] != (3, 4) or intrinsics.shape != (3, 3):
        shapes = f"{list(extrinsics.shape)} and {list(intrinsics.shape)}"
        raise RawFault(file, f"extrinsics and shared_intrinsics are {shapes}, expected [T, 3, 4] and [3, 3]")
    if intrinsics[0, 2] % 1 == 0.5:
        text = (
            f"principal point {intrinsics[0, 2]:g} counts from the middle of the first pixel, expected half the width"
        )
        raise RawFault(file, text)
    return extrinsics, intrinsics


READER = Kubric
