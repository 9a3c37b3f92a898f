"""Query rays: what a view that has no picture is described by (ZipMap's state query)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from zipmap_pl.geometry.projection import unproject
from zipmap_pl.geometry.rigid import camera_centres, rotate, split_rigid


def ray_map(extrinsics: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Rays [..., 9, H, W] through the pixel centres in the world frame: origin o, unit direction d, moment o x d.

    extrinsics: world-to-camera [..., 3 or 4, 4]; intrinsics: [..., 3, 3] in pixels of an H x W picture.

    """
    rotation, _ = split_rigid(extrinsics[..., None, None, :, :])
    ones = torch.ones(*intrinsics.shape[:-2], height, width, dtype=intrinsics.dtype, device=intrinsics.device)
    direction = F.normalize(rotate(rotation.transpose(-1, -2), unproject(ones, intrinsics)), dim=-1)
    origin = camera_centres(extrinsics)[..., None, None, :].expand_as(direction)
    return torch.cat([origin, direction, torch.linalg.cross(origin, direction)], dim=-1).movedim(-1, -3)
