"""Cameras whose picture plane is tilted or shifted, as ordinary pinhole cameras: what shards hold.

Any projection without lens distortion is a [3, 3] matrix P from the camera's frame to homogeneous pixels, and P = K R
with upper-triangular K: the picture is the one of a pinhole camera at the same place, turned by R, with intrinsics K.
Where K is skewed, or its principal point so far off that a centred crop would throw much of the picture away, the camera
is turned on until it looks at the middle of what the picture shows; such a picture has to be resampled.
"""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras

OFF_CENTRE = (
    0.01  # of the longer side; with the principal point farther from the middle, turning loses less than cropping
)
SKEW = 1e-6  # of the focal length


@dataclass(frozen=True)
class PinholeView:
    """The pinhole camera that stands for a projection.

    Attributes:
        intrinsics: [3, 3], no skew, pixels from the corner, of a picture of the raw picture's size.
        turn: [3, 3], the rotation from the camera's frame to this one's.
        raw_projection: [3, 3], from this camera's frame to homogeneous pixels of the raw picture.
        resampled: its picture is another one than the raw picture.
    """

    intrinsics: np.ndarray
    turn: np.ndarray
    raw_projection: np.ndarray
    resampled: bool


def pinhole_view(projection: np.ndarray, height: int, width: int) -> PinholeView:
    """The pinhole camera for a projection [3, 3]: OpenCV axes to homogeneous pixels of the raw picture, from its corner.

    If the raw picture cannot be used as it is, the camera looks at the middle of what it shows, with the smallest focal
    length that lets no pixel look outside of it. Raises ValueError if there is no such camera.
    """
    intrinsics, turn = pinhole_and_turn(projection)
    off = max(abs(intrinsics[0, 2] - width / 2), abs(intrinsics[1, 2] - height / 2))
    if off <= OFF_CENTRE * max(height, width) and abs(intrinsics[0, 1]) <= SKEW * intrinsics[0, 0]:
        intrinsics[0, 1] = 0.0
        return PinholeView(intrinsics, turn, intrinsics, resampled=False)
    corners = np.array(((0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)), np.float64)
    rays = cameras.multiply(corners, inverse(intrinsics).T)
    towards_middle = _looking_at(rays)
    focal = _focal(cameras.multiply(rays, towards_middle.T), height, width)
    return PinholeView(
        intrinsics=cameras.intrinsics_matrix(np.array((focal, focal, width / 2, height / 2))),
        turn=cameras.multiply(towards_middle, turn),
        raw_projection=cameras.multiply(intrinsics, towards_middle.T),
        resampled=True,
    )


def pinhole_and_turn(projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics K [3, 3], K[2, 2] = 1, and rotation R [3, 3] with K R = projection up to scale. ValueError if there are none."""
    rest = np.asarray(projection, np.float64)
    if not np.isfinite(rest).all() or not cameras.determinant(rest) > 0:
        raise ValueError("the projection is none: not finite, mirrored or flat")
    intrinsics, turn = np.zeros((3, 3)), np.zeros((3, 3))
    for row in (2, 1, 0):
        left = rest[row].copy()
        for other in range(row + 1, 3):
            intrinsics[row, other] = np.sum(rest[row] * turn[other])
            left -= intrinsics[row, other] * turn[other]
        intrinsics[row, row] = np.sqrt(np.sum(left * left))
        turn[row] = left / intrinsics[row, row]
    return intrinsics / intrinsics[2, 2], turn


def raw_places(view: PinholeView) -> tuple[np.ndarray, np.ndarray]:
    """Column and row [H, W] in the raw picture, from its corner, of each pixel of the view's picture."""
    x, y, w = _through_pixels(cameras.multiply(view.raw_projection, inverse(view.intrinsics)), *_size(view))
    return x / w, y / w


def depth_of_distance(projection: np.ndarray, height: int, width: int) -> np.ndarray:
    """Planar depth of what is at distance 1 from the camera, [H, W] float64, for each pixel of a picture.

    `projection` is [3, 3], from the camera's frame to homogeneous pixels: `PinholeView.raw_projection`, or intrinsics.
    """
    x, y, z = _through_pixels(inverse(projection), height, width)
    return z / np.sqrt(x * x + y * y + z * z)


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a [3, 3] matrix, written out: the same bits on every processor."""
    first, second, third = np.asarray(matrix, np.float64).T
    rows = np.stack((np.cross(second, third), np.cross(third, first), np.cross(first, second)))
    return rows / cameras.determinant(matrix)


def _size(view: PinholeView) -> tuple[int, int]:
    """Height and width of a view that was resampled: its principal point is the middle."""
    return round(2 * view.intrinsics[1, 2]), round(2 * view.intrinsics[0, 2])


def _through_pixels(matrix: np.ndarray, height: int, width: int) -> tuple[np.ndarray, ...]:
    """matrix (column, row, 1) for the centres of all pixels: three [H, W]."""
    columns, rows = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    return tuple(a * columns + b * rows + c for a, b, c in matrix.tolist())


def _looking_at(rays: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] that turns the mean direction of rays [n, 3] into the z axis; x stays as level as it can."""
    forward = np.sum(rays / np.sqrt(np.sum(rays * rays, axis=1, keepdims=True)), axis=0)
    forward = forward / np.sqrt(np.sum(forward * forward))
    right = np.array((1.0, 0.0, 0.0)) - forward[0] * forward
    right = right / np.sqrt(np.sum(right * right))
    return np.stack((right, np.cross(forward, right), forward))


def _focal(corners: np.ndarray, height: int, width: int) -> float:
    """The smallest focal length with which a centred picture lies inside the four-sided figure of rays [4, 3]."""
    if not (corners[:, 2] > 0).all():
        raise ValueError("the projection shows what is behind the camera")
    points = corners[:, :2] / corners[:, 2:]
    focal = 0.0
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        outwards = np.array((end[1] - start[1], start[0] - end[0]))
        distance = np.sum(outwards * start)
        if not distance > 0:
            raise ValueError("the projection does not show what is in the middle")
        focal = max(focal, (abs(outwards[0]) * width + abs(outwards[1]) * height) / 2 / distance)
    return float(focal)
