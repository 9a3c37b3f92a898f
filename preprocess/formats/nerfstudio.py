"""Nerfstudio's transforms.json: one camera model, and camera-to-world matrices with OpenGL's axes.

`w`, `h`, `fl_x`, `fl_y`, `cx`, `cy` are pixels of the pictures as they were reconstructed, from the corner; the pictures
at hand may be smaller. `k1`, `k2`, `p1`, `p2` (and `k3`) are OpenCV's distortion. `file_path` may name a folder that is
not there: only the file's name counts. `applied_transform`, which turned COLMAP's world, is not needed.
"""

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.formats.json_files import number_in, read_json
from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.raw import LeftOut, RawFault

PICTURE = re.compile(r"[\w .+-]{1,60}\.(png|jpg|jpeg)", re.IGNORECASE)
CAMERA_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")  # in OpenCV's order; 0 where the file has none


@dataclass(frozen=True)
class SharedCamera:
    """The one camera of the file, which all its images share.

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
        values = np.array((*self.focal, *self.centre))
        return cameras.intrinsics_matrix(cameras.scale_intrinsics(values, width / self.width, height / self.height))

    def intrinsics_of(self, file: Source, image: np.ndarray) -> np.ndarray:
        """[3, 3] of a picture. Raises RawFault if it has other proportions than the camera, but for rounding."""
        height, width = image.shape[:2]
        if abs(width * self.height - height * self.width) > max(self.width, self.height):
            expected = f"{self.width:g}x{self.height:g} in transforms.json"
            raise RawFault(file, f"picture is {width}x{height}, expected the proportions of {expected}")
        return self.intrinsics(width, height)


@dataclass(frozen=True)
class Transforms:
    """What a transforms.json holds.

    Attributes:
        file: itself.
        camera: of all its images.
        pictures: file names by frame name, in the order of the numbers at the ends of these.
        places: of the frames in the file's list.
        matrices: as they stand there.
        left_out: entries that are no frames.
    """

    file: Source
    camera: SharedCamera
    pictures: dict[str, str]
    places: dict[str, int]
    matrices: dict[str, object]
    left_out: tuple[LeftOut, ...]

    def cam_to_world(self, frame: str) -> np.ndarray:
        """[4, 4] float64 in OpenCV's axes. Raises RawFault."""
        if frame not in self.matrices:
            raise RawFault(self.file, "frames are missing that were there when they were listed")
        where = f"frame {self.places[frame]}: transform_matrix is"
        try:
            cam_to_world = np.array(self.matrices[frame], np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise RawFault(self.file, f"{where} no matrix of numbers") from error
        if cam_to_world.shape != (4, 4):
            raise RawFault(self.file, f"{where} {list(cam_to_world.shape)}, expected [4, 4]")
        cam_to_world[:3, 1:3] *= -1  # OpenGL's y and z point the other way
        return cam_to_world


@lru_cache(maxsize=2)
def read_transforms(file: Source) -> Transforms:
    """A transforms.json. Raises RawFault if it is none; what is wrong with a single matrix is reported by `Transforms.cam_to_world`."""
    values = read_json(file)
    if not isinstance(values.get("frames"), list):
        raise RawFault(file, "holds no list of frames")
    camera = _camera(file, values)
    pictures, places, matrices, left_out = {}, {}, {}, []
    for place, entry in enumerate(values["frames"]):
        path = entry.get("file_path") if isinstance(entry, dict) else None
        picture = posixpath.basename(path) if isinstance(path, str) else ""
        name = posixpath.splitext(picture)[0]
        if not PICTURE.fullmatch(picture):
            left_out.append(LeftOut(str(file), f"frame {place}: file_path is {str(path)[:40]!r}, expected a picture"))
        elif name in places:
            left_out.append(LeftOut(str(file), f"frame {place}: {name} stands there twice; the first one is used"))
        else:
            pictures[name], places[name], matrices[name] = picture, place, entry.get("transform_matrix")
    ordered = {name: pictures[name] for name in sorted(pictures, key=by_last_number)}
    return Transforms(file, camera, ordered, places, matrices, tuple(left_out))


def by_last_number(name: str) -> tuple[int, str]:
    """Sort key of frame names: the number at the end."""
    match = re.search(r"(\d{1,18})$", name)
    return int(match[1]) if match else -1, name


def _camera(file: Source, values: dict) -> SharedCamera:
    model = values.get("camera_model", CAMERA_MODELS[0])
    if model not in CAMERA_MODELS:
        raise RawFault(file, f"camera_model is {str(model)[:40]!r}, expected {', '.join(CAMERA_MODELS)}")
    width, height, fx, fy, cx, cy = (
        number_in(file, name, values.get(name)) for name in ("w", "h", "fl_x", "fl_y", "cx", "cy")
    )
    if width < 1 or height < 1:
        raise RawFault(file, f"w and h are {width:g} and {height:g}, expected the size of a picture")
    return SharedCamera(
        width, height, (fx, fy), (cx, cy), tuple(number_in(file, name, values.get(name, 0.0)) for name in DISTORTION)
    )
