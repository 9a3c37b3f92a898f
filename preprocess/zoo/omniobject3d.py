"""OmniObject3D: some 6,000 scanned objects of 190 categories, each rendered from 100 places around it, 800x800.

    RAW/<category>/<object>/render/     such as anise/anise_001/render, at any depth
      images/r_0.png                    RGBA; numbers are not padded
      depths/r_0_depth.exr              planar, three equal channels; 65504 = nothing there
      transforms.json                   camera_angle_x; for each frame file_path, transform_matrix (camera to world, OpenGL axes), scale

Unpacked, or in the tars of the categories as downloaded, which are read in place. The set of 24 views is not read. A scene is an
object, all for training. Frames have the number of their image; views are placed at random, so their order means nothing.

Objects are rendered in a box of one size. Depth and places are divided by 1000 times `scale`, which makes meters if scans are in
millimeters, as their magnitudes say. Images are blended over white; the object is where alpha is more than 0, or, in images
without alpha, where there is depth.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.convert.exact_angles import cosine_and_sine
from zipmap_pl.preprocess.formats.exr import read_exr
from zipmap_pl.preprocess.formats.json_files import number_in, read_json
from zipmap_pl.preprocess.formats.png_layers import read_png_channels
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, names_in, tar_tables
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

OBJECT = re.compile(r"(?!.*/blender_renders_24_views/).*/([^/]+_\d{3,})/render")
FILE = re.compile(r"r_(\d+)(?:\.png|_depth\.exr)")
TRANSFORMS = "transforms.json"
SIDE = 800  # pixels
NOTHING = 65504.0
MILLIMETERS = 1000.0

INFO = DatasetInfo(
    slug="omniobject3d",
    title="OmniObject3D, rendered views",
    licence="CC BY 4.0; the download needs an account",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://github.com/omniobject3d/OmniObject3D",
    commercial=True,
    raw_size="part of 1.2 TB",
)


@dataclass(frozen=True)
class Transforms:
    """What transforms.json says.

    Attributes:
        file: it.
        half_angle: half the angle between the left and the right side of an image, degrees.
        scale: length in the renderer for a millimeter.
        poses: number of a frame -> transform_matrix; None where it is no 4x4 matrix of numbers.
    """

    file: Source
    half_angle: float
    scale: float
    poses: Mapping[int, np.ndarray | None]

    @property
    def meters(self) -> float:
        """Lengths in the renderer are divided by this."""
        return self.scale * MILLIMETERS

    def camera(self, number: int, side: int) -> RawCamera:
        """The camera of a frame, of an image of this size."""
        raw = self.poses.get(number)
        if raw is None:
            raise RawFault(self.file, "transform_matrix of a frame is missing, or no 4x4 matrix of numbers")
        cosine, sine = cosine_and_sine(self.half_angle)
        focal = side / 2 * cosine / sine
        pose = to_opencv(raw, "opengl")
        pose[:3, 3] /= self.meters
        return RawCamera(cameras.intrinsics_matrix(np.array((focal, focal, side / 2, side / 2))), pose, self.file)


@dataclass(frozen=True)
class OmniObject3d:
    """The reader."""

    raw: Path = raw_folder("folder of categories (blender_renders), unpacked or in tars")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """There are no options."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The tables of the tars."""
        return tar_tables(self.raw, OBJECT)

    def scenes(self) -> list[RawScene]:
        """One scene per object, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, OBJECT, tars=True)
        if not found.places:
            raise UserError(f"{self.raw}: no <object>/render, such as anise_001/render, in folders or archives")
        return [*(self._scene(name, places) for name, places in found.places.items()), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of an image of the published size, from whose corner pixels count."""
        return read_transforms(self._file(scene, TRANSFORMS)).camera(int(frame), SIDE)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        transforms, number = read_transforms(self._file(scene, TRANSFORMS)), int(frame)
        pixels = read_png_channels(self._file(scene, f"images/r_{number}.png"))
        stored = read_exr(self._file(scene, f"depths/r_{number}_depth.exr"), "R", "G", "B", "Y")
        depth = np.where(stored < NOTHING, stored, np.float32(0)) / np.float32(transforms.meters)
        alpha = pixels[:, :, 3:]
        seen = alpha[:, :, 0] > 0 if alpha.min() < 255 else depth > 0
        camera = transforms.camera(number, pixels.shape[1])
        return RawFrame(camera, over_white(pixels[:, :, :3], alpha), depth=depth, object=seen)

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the numbers that images, depths and poses have between them."""
        left_out = tuple(found_twice(places))
        try:
            numbers = set(read_transforms(join(places[0], TRANSFORMS)).poses)
        except RawFault as fault:
            return RawScene(name, "train", (), (*left_out, LeftOut(fault.file, fault.reason)))
        for part in ("images", "depths"):
            numbers |= {int(match[1]) for file in names_in(join(places[0], part)) if (match := FILE.fullmatch(file))}
        return RawScene(name, "train", tuple(f"{number:03d}" for number in sorted(numbers)), left_out)

    def _file(self, scene: RawScene, name: str) -> Source:
        places = find_folders(self.raw, OBJECT, tars=True).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return join(places[0], name)


def over_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colors [H, W, 3] uint8, not multiplied by alpha [H, W, 1] uint8, over white: rounded to the nearest."""
    weight = alpha.astype(np.uint16)
    return ((colors * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


@lru_cache(maxsize=2)
def read_transforms(file: Source) -> Transforms:
    """What a transforms.json says. Raises RawFault if it is damaged, or another kind of file."""
    values = read_json(file)
    angle, frames = number_in(file, "camera_angle_x", values.get("camera_angle_x")), values.get("frames")
    if not 0 < angle < math.pi:
        raise RawFault(file, f"camera_angle_x is {angle:g}, expected radians from 0 to pi")
    poses: dict[int, np.ndarray | None] = {}
    scales = set()
    for frame in frames if isinstance(frames, list) and frames else [frames]:
        frame = frame if isinstance(frame, dict) else {}
        match = re.fullmatch(r"r_(\d+)", PurePosixPath(str(frame.get("file_path"))).name.removesuffix(".png"))
        if not match or int(match[1]) in poses:
            raise RawFault(
                file,
                f"frames has the file_path {str(frame.get('file_path'))[-40:]}, expected .../r_<number>, each once",
            )
        poses[int(match[1])] = _matrix(frame.get("transform_matrix"))
        scales.add(number_in(file, "scale", frame.get("scale")))
    if len(scales) != 1 or min(scales) <= 0:
        raise RawFault(
            file, f"scale is {' and '.join(f'{scale:g}' for scale in sorted(scales)[:3])}, expected one above 0"
        )
    return Transforms(file, math.degrees(angle) / 2, scales.pop(), poses)


def _matrix(values: object) -> np.ndarray | None:
    try:
        matrix = np.array(values, np.float64)
    except (ValueError, TypeError):
        return None
    return matrix if matrix.shape == (4, 4) else None


READER = OmniObject3d
