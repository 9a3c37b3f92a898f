"""Conventions that are often misunderstood: how each mistake spoils a frame, and what undoes it.

The suite of all datasets makes the mistakes, to see that they are noticed; `zipmap preprocess NAME RAW --check` undoes
them, to find the one that was made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.raw import RawFrame


@dataclass(frozen=True)
class Reading:
    """How one frame is read.

    Attributes:
        depth: [H, W] float32, raw units; 0 = unknown.
        intrinsics: [3, 3] float64.
        cam_to_world: [4, 4] float64, raw units.
    """

    depth: np.ndarray
    intrinsics: np.ndarray
    cam_to_world: np.ndarray


Change = Callable[[Reading], Reading]


@dataclass(frozen=True)
class Mistake:
    """A misunderstood convention.

    Attributes:
        name: what was misread.
        make, undo: a frame that is read rightly as it looks with the mistake, and back.
    """

    name: str
    make: Change
    undo: Change

    def made_in(self, frame: RawFrame) -> RawFrame:
        """A raw frame with depth, read with the mistake."""
        assert frame.depth is not None
        with np.errstate(invalid="ignore"):  # poses of lost tracking
            wrong = self.make(Reading(frame.depth, frame.camera.intrinsics, frame.camera.cam_to_world))
        return replace(frame, depth=wrong.depth, camera=replace(frame.camera, cam_to_world=wrong.cam_to_world))


def other_axes(rotation: np.ndarray) -> Change:
    """Camera axes turned by a rotation [3, 3]."""
    turn = np.concatenate((rotation, np.zeros((3, 1))), axis=1)
    return lambda reading: replace(reading, cam_to_world=_square(cameras.compose(reading.cam_to_world, turn)))


def other_units(factor: float) -> Change:
    """Depth that many times as large."""
    return lambda reading: replace(reading, depth=reading.depth * np.float32(factor))


def inverse_poses(reading: Reading) -> Reading:
    """World-to-camera for camera-to-world, or the other way round."""
    return replace(reading, cam_to_world=_square(cameras.invert_rigid(reading.cam_to_world)))


def as_distance(reading: Reading) -> Reading:
    """Planar depth as distance along the ray."""
    return replace(reading, depth=(reading.depth * _ray_lengths(reading)).astype(np.float32))


def as_planar(reading: Reading) -> Reading:
    """Distance along the ray as planar depth."""
    return replace(reading, depth=(reading.depth / _ray_lengths(reading)).astype(np.float32))


def _ray_lengths(reading: Reading) -> np.ndarray:
    """[H, W], of the rays of depth 1."""
    matrix = reading.intrinsics
    intrinsics = np.array((matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
    return np.sqrt(np.sum(cameras.pixel_points(np.ones(reading.depth.shape), intrinsics) ** 2, axis=-1))


def _square(transform: np.ndarray) -> np.ndarray:
    """[3, 4] as [4, 4]."""
    return np.concatenate((transform, [[0.0, 0.0, 0.0, 1.0]]))


FLIPPED: Final = np.diag((1.0, -1.0, -1.0))
ROTATED: Final = np.eye(3)[[2, 0, 1]]
OTHER_UNITS: Final = Mistake("depth in other units", other_units(1.7), other_units(1 / 1.7))
RAY_LENGTHS: Final = Mistake("distance read as depth", as_distance, as_planar)
MISTAKES: Final = (
    Mistake("world to camera", inverse_poses, inverse_poses),
    Mistake("axes of OpenGL", other_axes(FLIPPED), other_axes(FLIPPED)),
    Mistake("axes rotated", other_axes(ROTATED), other_axes(ROTATED.T)),
    OTHER_UNITS,
    RAY_LENGTHS,
)
