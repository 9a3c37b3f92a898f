"""Camera algebra in float64 numpy, element by element: the same bits on every processor.

BLAS differs in the last bit between processors and shapes, so products here are written out and a rigid inverse is a
transpose. Rigid transforms are [..., 3, 4] (or [..., 4, 4], whose last row is ignored); OpenCV axes; intrinsics are [..., 4] =
fx, fy, cx, cy in pixels, with the picture covering [0, W] x [0, H].
"""

import numpy as np

NEWTON_STEPS = 4  # quadratic convergence: an error of 1e-2 is below 1e-16 after three


def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product of [..., n, 3] and [..., 3, m] in float64, without BLAS."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    product = left[..., :, 0, None] * right[..., None, 0, :]
    for k in (1, 2):
        product = product + left[..., :, k, None] * right[..., None, k, :]
    return product


def transform_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply rigid transforms [..., 3, 4] to points [..., n, 3] -> [..., n, 3] float64."""
    return multiply(points, np.swapaxes(transform[..., :3, :3], -1, -2)) + transform[..., None, :3, 3]


def invert_rigid(transform: np.ndarray) -> np.ndarray:
    """Inverse [..., 3, 4] of rigid transforms [..., 3, 4]: the rotation's transpose, never a solver."""
    rotation = np.swapaxes(np.asarray(transform, np.float64)[..., :3, :3], -1, -2)
    translation = -multiply(rotation, transform[..., :3, 3:4])
    return np.concatenate((rotation, translation), axis=-1)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The rigid transform [..., 3, 4] that applies `inner` first, then `outer`."""
    rotation = multiply(outer[..., :3, :3], inner[..., :3, :3])
    translation = multiply(outer[..., :3, :3], inner[..., :3, 3:4]) + outer[..., :3, 3:4]
    return np.concatenate((rotation, translation), axis=-1)


def rotation_error(rotation: np.ndarray) -> float:
    """Largest entry of |R^T R - 1| of a [3, 3] matrix: how far it is from orthonormal (NaN if not finite)."""
    return float(np.max(np.abs(multiply(np.swapaxes(rotation, -1, -2), rotation) - np.eye(3))))


def determinant(rotation: np.ndarray) -> float:
    """Determinant of a [3, 3] matrix, written out."""
    (a, b, c), (d, e, f), (g, h, i) = np.asarray(rotation, np.float64).tolist()
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def nearest_rotation(rotation: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] nearest to an almost orthonormal one: matrices from text files have few digits.

    Newton's iteration for the polar factor; it needs a `rotation_error` below about 0.1.
    """
    result = np.asarray(rotation, np.float64)
    for _ in range(NEWTON_STEPS):
        result = multiply(result, 1.5 * np.eye(3) - 0.5 * multiply(result.T, result))
    return result


def normalized_world_to_cam(cam_to_world: np.ndarray, raw_from_world: np.ndarray, unit: float) -> np.ndarray:
    """World-to-camera [3, 4] in a scene's normalised world, from a raw camera-to-world [3, 4] (or [4, 4]).

    Args:
        cam_to_world: rigid, raw units.
        raw_from_world: [3, 4] rotation R and offset t of the scene: x_raw = R (unit * x) + t.
        unit: raw units per normalised unit.
    """
    rotation = multiply(cam_to_world[:3, :3].T, raw_from_world[:3, :3])
    translation = multiply(cam_to_world[:3, :3].T, raw_from_world[:3, 3:4] - cam_to_world[:3, 3:4]) / unit
    return np.concatenate((rotation, translation), axis=-1)


def raw_cam_to_world(world_to_cam: np.ndarray, raw_from_world: np.ndarray, unit: float) -> np.ndarray:
    """Undo `normalized_world_to_cam`: the raw camera-to-world [3, 4], in raw units."""
    cam_to_world = invert_rigid(world_to_cam)
    cam_to_world[:, 3] *= unit
    return compose(raw_from_world, cam_to_world)


def scale_intrinsics(intrinsics: np.ndarray, horizontal: float, vertical: float) -> np.ndarray:
    """Intrinsics [..., 4] of a resized picture: a pure scaling, because pixels are measured from the corner."""
    return np.asarray(intrinsics, np.float64) * np.array((horizontal, vertical, horizontal, vertical))


def crop_intrinsics(intrinsics: np.ndarray, left: float, top: float) -> np.ndarray:
    """Intrinsics [..., 4] of the part of a picture that starts `left` and `top` pixels from its corner."""
    return np.asarray(intrinsics, np.float64) - np.array((0.0, 0.0, left, top))


def intrinsics_matrix(intrinsics: np.ndarray) -> np.ndarray:
    """The [..., 3, 3] matrices of intrinsics [..., 4]."""
    intrinsics = np.asarray(intrinsics, np.float64)
    matrix = np.zeros((*intrinsics.shape[:-1], 3, 3))
    matrix[..., 0, 0], matrix[..., 1, 1] = intrinsics[..., 0], intrinsics[..., 1]
    matrix[..., 0, 2], matrix[..., 1, 2] = intrinsics[..., 2], intrinsics[..., 3]
    matrix[..., 2, 2] = 1.0
    return matrix


def pixels_of(
    points: np.ndarray, intrinsics: np.ndarray, size: np.ndarray | tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels that show points.

    Args:
        points: [..., n, 3] in the camera's frame.
        intrinsics: [..., 4].
        size: [..., 2] height, width of the picture.

    Returns:
        row, column [..., n] int64, and whether the point is in front of the camera and inside the picture [..., n] bool
        (elsewhere row and column are 0).
    """
    fx, fy, cx, cy = np.moveaxis(np.asarray(intrinsics, np.float64), -1, 0)[..., None]
    height, width = np.moveaxis(np.asarray(size), -1, 0)[..., None]
    z = points[..., 2]
    front = z > 1e-9
    safe = np.where(front, z, 1.0)
    column, row = np.floor(points[..., 0] / safe * fx + cx), np.floor(points[..., 1] / safe * fy + cy)
    inside = front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, row, 0).astype(np.int64), np.where(inside, column, 0).astype(np.int64), inside


def pixel_points(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points [H, W, 3] float64 in the camera's frame of a planar depth [H, W]; pixel centres at +0.5."""
    height, width = depth.shape
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    x = (np.arange(width) + 0.5 - cx) / fx
    y = (np.arange(height) + 0.5 - cy) / fy
    depth = depth.astype(np.float64)
    return np.stack((x[None, :] * depth, y[:, None] * depth, depth), axis=-1)
