"""COLMAP's models (cameras, images, which points they see; as .bin or .txt) and the depth maps of its dense workspaces.

A pose is world to camera, OpenCV's axes, quaternion scalar first; pixels count from the picture's corner. Nothing that a
file promises is believed before its bytes say that it can be true.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.formats.sources import Source, exists, join, read_bytes
from zipmap_pl.preprocess.formats.trajectories import matrix_of_quaternion
from zipmap_pl.preprocess.raw import RawCamera, RawFault

Models = dict[str, tuple[int, int, tuple[int, ...], tuple[int, ...]]]
# Model -> its number in .bin, how many parameters, and which of them are fx, fy, cx, cy and OpenCV's k1, k2, p1, p2.
MODELS: Models = {
    "SIMPLE_PINHOLE": (0, 3, (0, 0, 1, 2), ()),
    "PINHOLE": (1, 4, (0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": (2, 4, (0, 0, 1, 2), (3,)),
    "RADIAL": (3, 5, (0, 0, 1, 2), (3, 4)),
    "OPENCV": (4, 8, (0, 1, 2, 3), (4, 5, 6, 7)),
}
FISHEYE: Models = {"OPENCV_FISHEYE": (5, 8, (0, 1, 2, 3), (4, 5, 6, 7))}  # the same, with the fisheye's k1 to k4
COUNT, CAMERA, IMAGE = (struct.Struct(f"<{fields}") for fields in ("Q", "2i2Q", "i7di"))
NAME = re.compile(r"[\w .+()/-]{1,200}")
KEYPOINT = np.dtype([("place", "<f8", 2), ("point", "<i8")])
DEPTH_HEADER = 64  # bytes, more than it can have
MAX_SIDE = 1 << 15
UNDISTORTED_SCALES = (0.2, 2.0)  # how much smaller or larger a side may become: COLMAP's defaults
NEWTON_STEPS = 30


@dataclass(frozen=True)
class Image:
    """A picture of a model: its camera, and the size [height, width] that the camera is for.

    `fisheye` holds k1 to k4 of an OPENCV_FISHEYE camera (`convert.lens.KB4`), whose RawCamera has no distortion; else ().
    """

    camera: RawCamera
    size: tuple[int, int]
    fisheye: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tracks:
    """Which 3D points the pictures of a model see.

    Attributes:
        names: [n] the pictures, as the file has them in order.
        starts: [n + 1] int64; picture i sees `points[starts[i] : starts[i + 1]]`.
        points: [m] int64, COLMAP's numbers of points, ascending within a picture, each once.
    """

    names: tuple[str, ...]
    starts: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class _CameraModel:
    intrinsics: np.ndarray
    distortion: tuple[float, ...]
    fisheye: tuple[float, ...]
    size: tuple[int, int]


@lru_cache(maxsize=2)
def read_model(folder: Source, fisheye: bool = False) -> dict[str, Image]:
    """The pictures of a model by file name.

    Raises RawFault if it is missing, damaged, or has a camera of another kind; a fisheye is one unless `fisheye` is given.
    """
    kind = "bin" if exists(join(folder, "images.bin")) else "txt"
    cameras_file, images_file = (join(folder, f"{name}.{kind}") for name in ("cameras", "images"))
    cameras_of, images_of = (_cameras_in_bin, _images_in_bin) if kind == "bin" else (_cameras_in_txt, _images_in_txt)
    where, images = cameras_file, {}
    try:
        of_number = dict(cameras_of(cameras_file, MODELS | FISHEYE if fisheye else MODELS))
        where = images_file
        for name, number, values, _ in images_of(images_file):
            if number not in of_number:
                raise RawFault(images_file, f"{name} is of camera {number}, which {cameras_file} lacks")
            images[name] = _image(of_number[number], values, images_file)
        return images
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise RawFault(where, f"unreadable COLMAP model ({error})") from error


def read_tracks(folder: Source) -> Tracks:
    """Which points the pictures of a model see. Raises RawFault if its list of pictures is missing or damaged."""
    kind = "bin" if exists(join(folder, "images.bin")) else "txt"
    file = join(folder, f"images.{kind}")
    names, seen = [], []
    try:
        for name, _, _, keypoints in (_images_in_bin if kind == "bin" else _images_in_txt)(file):
            points = _points(keypoints)
            names.append(name)
            seen.append(np.unique(points[points >= 0]))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise RawFault(file, f"unreadable COLMAP model ({error})") from error
    starts = np.cumsum([0, *(len(points) for points in seen)], dtype=np.int64)
    return Tracks(tuple(names), starts, np.concatenate(seen) if seen else np.zeros(0, np.int64))


def undistorted_pinhole(image: Image, longest: int | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """The pinhole camera of the picture that COLMAP's `image_undistorter` writes for this one.

    COLMAP keeps focal lengths and pose, and chooses the size so that no pixel looks outside of the raw picture.

    Args:
        image: with a camera of up to RADIAL (k1, k2).
        longest: `max_image_size`: a larger picture is shrunk to it.

    Returns:
        intrinsics [3, 3] in pixels from the corner, and the picture's height, width.

    Raises:
        RawFault: a distortion that is no lens's, because pixels of the border show no ray.
        ValueError: tangential distortion or a fisheye.
    """
    if image.fisheye or any(image.camera.distortion[2:]):
        raise ValueError(f"{image.camera.file}: only radial distortion can be undone, by k1 and k2")
    fx, fy, cx, cy = image.camera.intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)].tolist()
    sides = np.array((image.size[1], image.size[0]), np.int64)
    center, old = np.array((cx, cy)), sides.copy()
    if any(image.camera.distortion):
        left, right, top, bottom = _undistorted_border(image, fx, fy, cx, cy)
        last = sides - 0.5
        zoom = np.maximum(center / (center - (left, top)), (last - center) / (np.array((right, bottom)) - center))
        sides = np.maximum(1, np.floor(np.clip(1 / zoom, *UNDISTORTED_SCALES) * sides)).astype(np.int64)
        center = center * sides / old
    focal = np.array((fx, fy))
    if longest is not None and sides.max() > longest:
        shrunk = np.floor(longest / sides.max() * sides + 0.5).astype(np.int64)
        focal, center, sides = focal * shrunk / sides, center * shrunk / sides, shrunk
    width, height = sides.tolist()
    return cameras.intrinsics_matrix(np.concatenate((focal, center))), (height, width)


def _undistorted_border(image: Image, fx: float, fy: float, cx: float, cy: float) -> tuple[float, ...]:
    """Innermost x, x, y, y of the left, right, upper and lower border's pixel centers, without distortion."""
    height, width = image.size
    x, y = (np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy
    k1, k2 = image.camera.distortion[:2]
    undistorted = [_straight(k1, k2, np.full(height, end), y, image)[0] * fx + cx for end in (x[0], x[-1])]
    undistorted += [_straight(k1, k2, x, np.full(width, end), image)[1] * fy + cy for end in (y[0], y[-1])]
    left, right, top, bottom = undistorted
    return float(left.max()), float(right.min()), float(top.max()), float(bottom.min())


def _straight(k1: float, k2: float, x: np.ndarray, y: np.ndarray, image: Image) -> tuple[np.ndarray, np.ndarray]:
    """The rays x, y [n] that a lens shows at x, y [n], both at z = 1: by Newton's method."""
    bent = np.sqrt(x * x + y * y)
    radius = bent.copy()
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            square = radius * radius
            slope = 1 + square * (3 * k1 + square * 5 * k2)
            radius = radius - (radius * (1 + square * (k1 + square * k2)) - bent) / slope
        square = radius * radius
        wrong = np.abs(radius * (1 + square * (k1 + square * k2)) - bent)
    if not ((wrong <= 1e-9) & (slope > 0) & (radius >= 0)).all():
        raise RawFault(
            image.camera.file, f"lens distortion {image.camera.distortion}: pixels of the border show no ray"
        )
    scale = np.where(bent > 0, radius / np.where(bent > 0, bent, 1.0), 1.0)
    return x * scale, y * scale


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
    return Image(RawCamera(camera.intrinsics, cam_to_world, file, camera.distortion), camera.size, camera.fisheye)


def _camera(file: Source, model: str, size: tuple[int, int], parameters: list[float]) -> _CameraModel:
    _, count, pinhole, distortion = (MODELS | FISHEYE)[model]
    if len(parameters) != count or not all(0 < side <= MAX_SIDE for side in size):
        raise RawFault(file, f"camera {model} of {size[1]}x{size[0]} with {len(parameters)} numbers, expected {count}")
    bent = tuple(parameters[place] for place in distortion)
    bent = bent + (0.0,) * (4 - len(bent)) if bent else ()
    bent, fisheye = ((), bent) if model in FISHEYE else (bent, ())
    pinhole_numbers = np.array([parameters[place] for place in pinhole])
    return _CameraModel(cameras.intrinsics_matrix(pinhole_numbers), bent, fisheye, size)


def _check_model(file: Source, model: object, models: Models) -> str:
    if model not in models:
        raise RawFault(file, f"camera model {model}, expected one of {', '.join(models)}")
    return str(model)


def _cameras_in_bin(file: Source, models: Models) -> Iterator[tuple[int, _CameraModel]]:
    data, place = read_bytes(file), COUNT.size
    names = {number: name for name, (number, *_) in models.items()}
    for _ in range(COUNT.unpack_from(data)[0]):
        number, kind, width, height = CAMERA.unpack_from(data, place)
        model = _check_model(file, names.get(kind, kind), models)
        count, place = models[model][1], place + CAMERA.size
        parameters = struct.unpack_from(f"<{count}d", data, place)
        place += 8 * count
        yield number, _camera(file, model, (height, width), list(parameters))


def _images_in_bin(file: Source) -> Iterator[tuple[str, int, list[float], memoryview]]:
    """Name, number of its camera, quaternion and translation, keypoints of each picture."""
    data, place = read_bytes(file), COUNT.size
    for _ in range(COUNT.unpack_from(data)[0]):
        _, *values, camera = IMAGE.unpack_from(data, place)
        end = data.index(b"\0", place + IMAGE.size)
        name = data[place + IMAGE.size : end].decode("utf-8", "surrogateescape")
        start = end + 1 + COUNT.size
        place = start + KEYPOINT.itemsize * COUNT.unpack_from(data, end + 1)[0]
        if place > len(data):
            raise ValueError("cut off")
        yield _file_name(file, name), camera, values, memoryview(data)[start:place]


def _cameras_in_txt(file: Source, models: Models) -> Iterator[tuple[int, _CameraModel]]:
    for line in _lines(file):
        if words := line.split():
            number, model, width, height, *parameters = words
            size = int(height), int(width)
            yield (
                int(number),
                _camera(file, _check_model(file, model, models), size, [float(word) for word in parameters]),
            )


def _images_in_txt(file: Source) -> Iterator[tuple[str, int, list[float], str]]:
    """The same from two lines a picture: the second holds its keypoints, and may be empty."""
    lines = _lines(file)
    for line, keypoints in zip_longest(lines[::2], lines[1::2], fillvalue=""):
        if line.strip():
            _, *values, camera, name = line.split(maxsplit=9)
            yield _file_name(file, name.strip()), int(camera), [float(value) for value in values], keypoints


def _file_name(file: Source, name: str) -> str:
    if not NAME.fullmatch(name):
        raise RawFault(file, f"holds a picture called {name[:60]!r}, expected the name of a file")
    return name


def _points(keypoints: memoryview | str) -> np.ndarray:
    """The number [n] int64 of the point of each keypoint, -1 for one of none."""
    if isinstance(keypoints, memoryview):
        return np.frombuffer(keypoints, KEYPOINT)["point"].astype(np.int64)
    words = keypoints.split()
    if len(words) % 3:
        raise ValueError(f"{len(words)} numbers on a line of keypoints, expected three of each")
    return np.array([int(word) for word in words[2::3]], np.int64)


def _lines(file: Source) -> list[str]:
    return [
        line
        for line in read_bytes(file).decode("utf-8-sig", "surrogateescape").splitlines()
        if not line.startswith("#")
    ]
