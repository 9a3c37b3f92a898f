"""Between depth maps and points.

The image covers [0, W] x [0, H]; the centre of pixel (row i, column j) is (j + 0.5, i + 0.5).
"""

import torch
from torch import Tensor

from zipmap_pl.geometry.rigid import invert_rigid, transform_points


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel centres [H, W, 2] as (x, y) = (column + 0.5, row + 0.5), with the dtype and device of `like`."""
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def unproject(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Camera-frame points [..., H, W, 3] from planar depth [..., H, W] and intrinsics [..., 3, 3] (pixels, no skew)."""
    height, width = depth.shape[-2:]
    intrinsics = intrinsics[..., None, None, :, :]
    focal = torch.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], dim=-1)
    xy = (pixel_grid(height, width, depth) - intrinsics[..., :2, 2]) / focal
    return torch.cat([xy * depth[..., None], depth[..., None]], dim=-1)


def unproject_to_world(depth: Tensor, intrinsics: Tensor, world_to_cam: Tensor) -> Tensor:
    """World points [..., H, W, 3] from depth [..., H, W], intrinsics [..., 3, 3], world-to-camera [..., 3 or 4, 4]."""
    return transform_points(invert_rigid(world_to_cam), unproject(depth, intrinsics))


def project(points: Tensor, intrinsics: Tensor) -> Tensor:
    """Pixel positions (x, y) [..., H, W, 2] of camera-frame points [..., H, W, 3].

    Meaningless where z <= 0, not finite at z = 0.
    """
    intrinsics = intrinsics[..., None, None, :, :]
    focal = torch.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], dim=-1)
    return points[..., :2] / points[..., 2:] * focal + intrinsics[..., :2, 2]
