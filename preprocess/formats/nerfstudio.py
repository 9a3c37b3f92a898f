"""Nerfstudio's transforms.json: cameras, and camera-to-world matrices with OpenGL's axes.

`w`, `h`, `fl_x`, `fl_y`, `cx`, `cy` are pixels of the pictures as they were reconstructed, from the corner; the pictures
at hand may be smaller. `k1`, `k2`, `p1`, `p2` (and `k3`) are OpenCV's distortion. They stand at the top for all frames, or
in a frame for that one, which counts more. `file_path` may name a folder that is not there: only the file's name counts.
`applied_transform`, which turned COLMAP's world, is not needed.
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
SIZES_AND_LENGTHS = ("w", "h", "fl_x", "fl_y", "cx", "cy")
# What a frame may say of its own camera. Other lenses and rolling shutters are not known here.
OF_CAMERA = ("camera_model", *SIZES_AND_LENGTHS, *DISTORTION)
NOT_KNOWN = ("k4", "k5", "k6", "camera_angle_x", "camera_angle_y", "is_fisheye", "distortion_params")


@dataclass(frozen=True)
class Camera:
    """A camera of the file, of all its images or of one.

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
        cameras: by frame name.
        pictures: file names by frame name, in the order of the numbers at the ends of these.
        places: of the frames in the file's list.
        matrices: as they stand there.
        left_out: entries that are no frames.
    """

    file: Source
    cameras: dict[str, Camera]
    pictures: dict[str, str]
    places: dict[str, int]
    matrices: dict[str, object]
    left_out: tuple[LeftOut, ...]

    def cam_to_world(self, frame: str) -> np.ndarray:
        """[4, 4] float64 in OpenCV's axes. Raises RawFault."""
        self._refuse_missing(frame)
        where = f"frame {self.places[frame]}: transform_matrix is"
        try:
            cam_to_world = np.array(self.matrices[frame], np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise RawFault(self.file, f"{where} no matrix of numbers") from error
        if cam_to_world.shape != (4, 4):
            raise RawFault(self.file, f"{where} {list(cam_to_world.shape)}, expected [4, 4]")
        cam_to_world[:3, 1:3] *= -1  # OpenGL's y and z point the other way
        return cam_to_world

    def camera(self, frame: str) -> Camera:
        """The camera of a frame. Raises RawFault."""
        self._refuse_missing(frame)
        return self.cameras[frame]

    def _refuse_missing(self, frame: str) -> None:
        if frame not in self.matrices:
            raise RawFault(self.file, "frames are missing that were there when they were listed")


@lru_cache(maxsize=2)
def read_transforms(file: Source) -> Transforms:
    """A transforms.json. Raises RawFault if it is none; what is wrong with a single matrix is reported by `Transforms.cam_to_world`.

    A camera that is not known here, of all frames or of one, is a RawFault that names its key.
    """
    values = read_json(file)
    if not isinstance(values.get("frames"), list):
        raise RawFault(file, "holds no list of frames")
    at_top = _of_camera(values)
    shared = _camera(file, at_top, "") if not any(map(_of_camera, values["frames"])) else None
    cameras: dict[str, Camera] = {}
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
            cameras[name] = shared or _camera(file, at_top | _of_camera(entry), f"frame {place}: ")
    ordered = {name: pictures[name] for name in sorted(pictures, key=by_last_number)}
    return Transforms(file, cameras, ordered, places, matrices, tuple(left_out))


def by_last_number(name: str) -> tuple[int, str]:
    """Sort key of frame names: the number at the end."""
    match = re.search(r"(\d{1,18})$", name)
    return int(match[1]) if match else -1, name


def _of_camera(values: object) -> dict[str, object]:
    """What the file's top or a frame says of a camera. Angles say nothing more where there is a focal length."""
    if not isinstance(values, dict):
        return {}
    keys = (key for key in (*OF_CAMERA, *NOT_KNOWN) if key in values)
    return {key: values[key] for key in keys if not (key.startswith("camera_angle") and "fl_x" in values)}


def _camera(file: Source, values: dict, where: str) -> Camera:
    model = values.get("camera_model", CAMERA_MODELS[0])
    if model not in CAMERA_MODELS:
        raise RawFault(file, f"{where}camera_model is {str(model)[:40]!r}, expected {', '.join(CAMERA_MODELS)}")
    for key in NOT_KNOWN:
        if values.get(key):
            raise RawFault(
                file, f"{where}{key} is {str(values[key])[:40]}, expected a camera by {', '.join(OF_CAMERA)}"
            )
    numbers = {key: number_in(file, where + key, values.get(key)) for key in SIZES_AND_LENGTHS}
    width, height, fx, fy, cx, cy = numbers.values()
    if width < 1 or height < 1:
        raise RawFault(file, f"{where}w and h are {width:g} and {height:g}, expected the size of a picture")
    distortion = tuple(number_in(file, where + key, values.get(key, 0.0)) for key in DISTORTION)
    return Camera(width, height, (fx, fy), (cx, cy), distortion)
