"""COLMAP's models (cameras and images, as .bin or .txt) and the depth maps of its dense workspaces.

A pose is world to camera, OpenCV's axes, quaternion scalar first; pixels count from the picture's corner. Nothing that a
file promises is believed before its bytes say that it can be true.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.formats.sources import Source, exists, join, read_bytes
from zipmap_pl.preprocess.formats.trajectories import matrix_of_quaternion
from zipmap_pl.preprocess.raw import RawCamera, RawFault

# Model -> its number in .bin, how many parameters, and which of them are fx, fy, cx, cy and OpenCV's k1, k2, p1, p2.
MODELS = {
    "SIMPLE_PINHOLE": (0, 3, (0, 0, 1, 2), ()),
    "PINHOLE": (1, 4, (0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": (2, 4, (0, 0, 1, 2), (3,)),
    "RADIAL": (3, 5, (0, 0, 1, 2), (3, 4)),
    "OPENCV": (4, 8, (0, 1, 2, 3), (4, 5, 6, 7)),
}
NAMES = {number: name for name, (number, *_) in MODELS.items()}
COUNT, CAMERA, IMAGE, POINT = (struct.Struct(f"<{fields}") for fields in ("Q", "2i2Q", "i7di", "2dq"))
NAME = re.compile(r"[\w .+()/-]{1,200}")
DEPTH_HEADER = 64  # bytes, more than it can have
MAX_SIDE = 1 << 15


@dataclass(frozen=True)
class Image:
    """A picture of a model: its camera, and the size [height, width] that the camera is for."""

    camera: RawCamera
    size: tuple[int, int]


@dataclass(frozen=True)
class _CameraModel:
    intrinsics: np.ndarray
    distortion: tuple[float, ...]
    size: tuple[int, int]


@lru_cache(maxsize=2)
def read_model(folder: Source) -> dict[str, Image]:
    """The pictures of a model by file name. Raises RawFault if it is missing, damaged, or has a camera of another kind."""
    kind = "bin" if exists(join(folder, "images.bin")) else "txt"
    cameras_file, images_file = (join(folder, f"{name}.{kind}") for name in ("cameras", "images"))
    cameras_of, images_of = (_cameras_in_bin, _images_in_bin) if kind == "bin" else (_cameras_in_txt, _images_in_txt)
    where, images = cameras_file, {}
    try:
        of_number = dict(cameras_of(cameras_file))
        where = images_file
        for name, number, values in images_of(images_file):
            if not NAME.fullmatch(name):
                raise RawFault(images_file, f"holds a picture called {name[:60]!r}, expected the name of a file")
            if number not in of_number:
                raise RawFault(images_file, f"{name} is of camera {number}, which {cameras_file} lacks")
            images[name] = _image(of_number[number], values, images_file)
        return images
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise RawFault(where, f"unreadable COLMAP model ({error})") from error


def read_depth_map(file: Source) -> np.ndarray:
    """Depth [H, W] float32 of a `<picture>.geometric.bin`: planar, in the model's unit; what is not positive is unknown."""
    data = read_bytes(file)
    words = data[:DEPTH_HEADER].split(b"&", 3)
    try:
        width, height, channels = (int(word) for word in words[:3])
    except ValueError as error:
        raise RawFault(file, "unreadable depth map: expected its size, as 960&540&1&") from error
    start = sum(len(word) + 1 for word in words[:3])
    wanted = width * height * 4
    if channels != 1 or min(width, height) < 1 or len(data) - start != wanted:
        text = f"{width}x{height}x{channels} floats are promised, {len(data) - start} bytes follow"
        raise RawFault(file, f"unreadable depth map: {text}")
    return np.frombuffer(data, "<f4", offset=start).reshape(height, width)


def _image(camera: _CameraModel, values: list[float], file: Source) -> Image:
    """A picture of a quaternion w, x, y, z and a translation."""
    qw, qx, qy, qz, tx, ty, tz = values
    world_to_cam = matrix_of_quaternion(np.array((tx, ty, tz, qx, qy, qz, qw)))
    cam_to_world = np.eye(4)
    with np.errstate(invalid="ignore"):  # the engine refuses what is not finite
        cam_to_world[:3] = cameras.invert_rigid(world_to_cam[:3])
    return Image(RawCamera(camera.intrinsics, cam_to_world, file, camera.distortion), camera.size)


def _camera(file: Source, model: str, size: tuple[int, int], parameters: list[float]) -> _CameraModel:
    _, count, pinhole, distortion = MODELS[model]
    if len(parameters) != count or not all(0 < side <= MAX_SIDE for side in size):
        raise RawFault(file, f"camera {model} of {size[1]}x{size[0]} with {len(parameters)} numbers, expected {count}")
    bent = tuple(parameters[place] for place in distortion)
    bent = bent + (0.0,) * (4 - len(bent)) if bent else ()
    return _CameraModel(cameras.intrinsics_matrix(np.array([parameters[place] for place in pinhole])), bent, size)


def _check_model(file: Source, model: object) -> str:
    if model not in MODELS:
        raise RawFault(file, f"camera model {model}, expected one of {', '.join(MODELS)}")
    return str(model)


def _cameras_in_bin(file: Source) -> Iterator[tuple[int, _CameraModel]]:
    data, place = read_bytes(file), COUNT.size
    for _ in range(COUNT.unpack_from(data)[0]):
        number, kind, width, height = CAMERA.unpack_from(data, place)
        model = _check_model(file, NAMES.get(kind, kind))
        count, place = MODELS[model][1], place + CAMERA.size
        parameters = struct.unpack_from(f"<{count}d", data, place)
        place += 8 * count
        yield number, _camera(file, model, (height, width), list(parameters))


def _images_in_bin(file: Source) -> Iterator[tuple[str, int, list[float]]]:
    data, place = read_bytes(file), COUNT.size
    for _ in range(COUNT.unpack_from(data)[0]):
        _, *values, camera = IMAGE.unpack_from(data, place)
        end = data.index(b"\0", place + IMAGE.size)
        name = data[place + IMAGE.size : end].decode("utf-8", "replace")
        place = end + 1 + COUNT.size + POINT.size * COUNT.unpack_from(data, end + 1)[0]
        if place > len(data):
            raise ValueError("cut off")
        yield name, camera, values


def _cameras_in_txt(file: Source) -> Iterator[tuple[int, _CameraModel]]:
    for line in _lines(file):
        if words := line.split():
            number, model, width, height, *parameters = words
            size = int(height), int(width)
            yield int(number), _camera(file, _check_model(file, model), size, [float(word) for word in parameters])


def _images_in_txt(file: Source) -> Iterator[tuple[str, int, list[float]]]:
    """Every other line: the one after a picture's holds its keypoints, and may be empty."""
    for line in _lines(file)[::2]:
        if line.strip():
            _, *values, camera, name = line.split(maxsplit=9)
            yield name.strip(), int(camera), [float(value) for value in values]


def _lines(file: Source) -> list[str]:
    return [line for line in read_bytes(file).decode("utf-8", "replace").splitlines() if not line.startswith("#")]
