"""Query rays: what a view that has no picture is described by (ZipMap's state query)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from zipmap_pl.geometry.projection import unproject
from zipmap_pl.geometry.rigid import (
    camera_centres,
    compose_rigid,
    invert_rigid,
    join_rigid,
    relative_to_first,
    rotate,
    split_rigid,
)

SCALE_RANGE = (1e-6, 1e6)


def ray_map(world_to_cam: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Rays [..., 9, H, W] through the pixel centres in the world frame: origin o, unit direction d, moment o x d.

    world_to_cam: world-to-camera [..., 3 or 4, 4]; intrinsics: [..., 3, 3] in pixels of an H x W picture.
    """
    rotation, _ = split_rigid(world_to_cam[..., None, None, :, :])
    ones = torch.ones(*intrinsics.shape[:-2], height, width, dtype=intrinsics.dtype, device=intrinsics.device)
    direction = F.normalize(rotate(rotation.transpose(-1, -2), unproject(ones, intrinsics)), dim=-1)
    origin = camera_centres(world_to_cam)[..., None, None, :].expand_as(direction)
    return torch.cat([origin, direction, torch.linalg.cross(origin, direction)], dim=-1).movedim(-1, -3)


def query_rays(world_to_cam: Tensor, intrinsics: Tensor, height: int, width: int, input_world_to_cam: Tensor) -> Tensor:
    """Rays [..., T, 9, H, W] of T target cameras as a state-query model takes them: independent of frame and unit.

    The frame is that of the first input view; the unit is the largest absolute coordinate of an input camera's centre
    in it (the published code; the paper has the largest distance).

    world_to_cam: world-to-camera [..., T, 3 or 4, 4]; intrinsics: [..., T, 3, 3] in pixels of an H x W picture;
    input_world_to_cam: of the S views that the state was made from, [..., S, 3 or 4, 4], in the same world.
    """
    unit = camera_centres(relative_to_first(input_world_to_cam)).abs().amax(dim=(-2, -1)).clamp(*SCALE_RANGE)
    from_first_view = compose_rigid(world_to_cam, invert_rigid(input_world_to_cam[..., :1, :, :]))
    rotation, translation = split_rigid(from_first_view)
    return ray_map(join_rigid(rotation, translation / unit[..., None, None]), intrinsics, height, width)
