"""The cameras of a block of MatrixCity: transforms.json."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import to_opencv
from zipmap_pl.preprocess.convert.exact_angles import cosine_and_sine
from zipmap_pl.preprocess.formats.json_files import number_in, read_json
from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.raw import RawCamera, RawFault

ROTATION = 100.0  # the matrices' rotations are divided by it


@dataclass(frozen=True)
class Cameras:
    """The cameras of a block.

    Attributes:
        file: what they are from.
        half_angle: half the angle between the left and the right side of an image, degrees.
        poses: number of a frame -> rot_mat [3, 4]; None where it is no matrix.
    """

    file: Source
    half_angle: float
    poses: dict[int, np.ndarray | None]

    def camera(self, number: int, width: int, height: int) -> RawCamera:
        """The camera of a frame, of an image of this size."""
        raw = self.poses.get(number)
        if raw is None:
            raise RawFault(self.file, "rot_mat of a frame is no 4x4 matrix of numbers")
        cosine, sine = cosine_and_sine(self.half_angle)
        focal = width / 2 * cosine / sine
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = raw[:, :3] * ROTATION, raw[:, 3]
        intrinsics = cameras.intrinsics_matrix(np.array((focal, focal, width / 2, height / 2)))
        return RawCamera(intrinsics, to_opencv(pose, "opengl"), self.file)


@lru_cache(maxsize=2)
def read_cameras(file: Source) -> Cameras:
    """The cameras of a transforms.json. Raises RawFault if it is damaged, or another kind of file."""
    values = read_json(file)
    angle, frames = number_in(file, "camera_angle_x", values.get("camera_angle_x")), values.get("frames")
    if not 0 < angle < math.pi:
        raise RawFault(file, f"camera_angle_x is {angle:g}, expected radians from 0 to pi")
    poses: dict[int, np.ndarray | None] = {}
    for frame in frames if isinstance(frames, list) else [frames]:
        frame = frame if isinstance(frame, dict) else {}
        number = frame.get("frame_index")
        if not isinstance(number, int) or number < 0 or number in poses:
            raise RawFault(file, f"frames has the frame_index {str(number)[:40]}, expected numbers, each once")
        poses[number] = _matrix(frame.get("rot_mat"))
    return Cameras(file, math.degrees(angle) / 2, poses)


def _matrix(values: object) -> np.ndarray | None:
    try:
        matrix = np.array(values, np.float64)
    except (ValueError, TypeError):
        return None
    return matrix[:3] if matrix.shape in ((3, 4), (4, 4)) else None
