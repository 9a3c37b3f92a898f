"""Rigid transforms between worlds and cameras.

A transform is [..., 3, 4] or [..., 4, 4], rotation left and translation right; it maps x to R x + t. `world_to_cam` map
world to camera (OpenCV axes: x right, y down, z forward). Products are written out element-wise: they are exact in
the input's dtype under autocast too, and the same on every processor.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def split_rigid(transform: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation [..., 3, 3] and translation [..., 3] of transforms [..., 3 or 4, 4]."""
    return transform[..., :3, :3], transform[..., :3, 3]


def join_rigid(rotation: Tensor, translation: Tensor, rows: int = 3) -> Tensor:
    """Transforms [..., rows, 4] of rotation [..., 3, 3] and translation [..., 3].

    `rows` is 3, or 4 for a last row 0 0 0 1.
    """
    transform = torch.cat([rotation, translation[..., None]], dim=-1)
    if rows == 3:
        return transform
    last = F.pad(torch.zeros_like(transform[..., :1, :3]), (0, 1), value=1.0)
    return torch.cat([transform, last], dim=-2)


def rotate(rotation: Tensor, vector: Tensor) -> Tensor:
    """R v for matrices [..., 3, 3] and vectors [..., 3]; leading shapes broadcast."""
    return rotation[..., 0] * vector[..., :1] + rotation[..., 1] * vector[..., 1:2] + rotation[..., 2] * vector[..., 2:]


def multiply_rotations(a: Tensor, b: Tensor) -> Tensor:
    """A B for matrices [..., 3, 3]; leading shapes broadcast."""
    return rotate(a[..., None, :, :], b.transpose(-1, -2)).transpose(-1, -2)


def invert_rigid(transform: Tensor) -> Tensor:
    """Inverse of transforms [..., 3 or 4, 4], same shape: (R^T, -R^T t).

    World-to-camera becomes camera-to-world and back.
    """
    rotation, translation = split_rigid(transform)
    transposed = rotation.transpose(-1, -2)
    return join_rigid(transposed, -rotate(transposed, translation), transform.shape[-2])


def compose_rigid(a: Tensor, b: Tensor) -> Tensor:
    """The transform "first b, then a" for [..., 3 or 4, 4]; leading shapes broadcast, the rows are those of `a`."""
    rotation_a, translation_a = split_rigid(a)
    rotation_b, translation_b = split_rigid(b)
    rotation = multiply_rotations(rotation_a, rotation_b)
    return join_rigid(rotation, rotate(rotation_a, translation_b) + translation_a, a.shape[-2])


def relative_to_first(world_to_cam: Tensor) -> Tensor:
    """World-to-camera [..., S, 3 or 4, 4] in the frame of view 0: E_i E_0^-1.

    View 0 becomes the identity up to rounding.
    """
    return compose_rigid(world_to_cam, invert_rigid(world_to_cam[..., :1, :, :]))


def pairwise_relative(world_to_cam: Tensor) -> Tensor:
    """All relative poses E_i E_j^-1 (camera j to camera i) of world-to-camera [..., S, 3 or 4, 4].

    The answer is [..., S, S, 3 or 4, 4], entry (i, j).
    """
    return compose_rigid(world_to_cam[..., :, None, :, :], invert_rigid(world_to_cam)[..., None, :, :, :])


def camera_centres(world_to_cam: Tensor) -> Tensor:
    """Camera centres in the world [..., 3] of world-to-camera [..., 3 or 4, 4]."""
    rotation, translation = split_rigid(world_to_cam)
    return -rotate(rotation.transpose(-1, -2), translation)


def transform_points(transform: Tensor, points: Tensor) -> Tensor:
    """Applies transforms [..., 3 or 4, 4] to point maps [..., H, W, 3] of the same leading shape."""
    rotation, translation = split_rigid(transform[..., None, None, :, :])
    return rotate(rotation, points) + translation
