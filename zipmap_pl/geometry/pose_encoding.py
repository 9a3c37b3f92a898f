"""Cameras as nine numbers: world-to-camera translation (3), quaternion xyzw (4), field of view in radians (2).

The field of view is height, then width. There is no principal point: it is taken to lie at the picture's centre
(W/2, H/2). Published name: absT_quaR_FoV.
"""

import roma
import torch
from torch import Tensor

from zipmap_pl.geometry.rigid import join_rigid, split_rigid


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """Unit quaternions xyzw [..., 4] with w >= 0 of rotations [..., 3, 3]."""
    quaternion = roma.rotmat_to_unitquat(rotation)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def rotation_from_quaternion(quaternion: Tensor) -> Tensor:
    """Rotations [..., 3, 3] of quaternions xyzw [..., 4] of any length but zero, which gives NaN."""
    squared_length = quaternion.square().sum(-1)[..., None, None]
    return roma.unitquat_to_rotmat(quaternion) / squared_length


def encode_pose(world_to_cam: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Pose encoding [..., 9] of world-to-camera [..., 3 or 4, 4] and intrinsics [..., 3, 3] of an H x W picture."""
    rotation, translation = split_rigid(world_to_cam)
    fov_height = 2 * torch.atan(height / 2 / intrinsics[..., 1, 1])
    fov_width = 2 * torch.atan(width / 2 / intrinsics[..., 0, 0])
    field_of_view = torch.stack([fov_height, fov_width], dim=-1)
    return torch.cat([translation, quaternion_from_rotation(rotation), field_of_view], dim=-1)


def identity_encoding(like: Tensor) -> Tensor:
    """The encoding [9] of a camera that is the world's, with fields of view of one radian; made on the device of `like`."""
    return torch.cat([like.new_zeros(6), like.new_ones(3)])


def decode_world_to_cam(encoding: Tensor) -> Tensor:
    """World-to-camera [..., 3, 4] of pose encodings [..., 9]; NaN rotation where the quaternion is zero."""
    return join_rigid(rotation_from_quaternion(encoding[..., 3:7]), encoding[..., :3])


def decode_intrinsics(encoding: Tensor, height: int, width: int) -> Tensor:
    """Intrinsics [..., 3, 3] in pixels of an H x W picture.

    An infinite focal length where the field of view is zero.
    """
    focal_y = height / 2 / torch.tan(encoding[..., 7] / 2)
    focal_x = width / 2 / torch.tan(encoding[..., 8] / 2)
    zero, one = torch.zeros_like(focal_x), torch.ones_like(focal_x)
    rows = [focal_x, zero, one * (width / 2), zero, focal_y, one * (height / 2), zero, zero, one]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def decode_pose(encoding: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """World-to-camera [..., 3, 4] and intrinsics [..., 3, 3] of pose encodings [..., 9], for an H x W picture."""
    return decode_world_to_cam(encoding), decode_intrinsics(encoding, height, width)
