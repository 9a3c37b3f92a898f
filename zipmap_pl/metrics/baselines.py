"""Predictors that have learned nothing; a model must beat them before its numbers mean anything."""

import torch
from torch import Tensor


def constant_depth(depth: Tensor) -> Tensor:
    """The same depth everywhere, in the shape of depth [B, S, H, W]; after median scaling: each scene's median."""
    return torch.ones_like(depth)


def identity_world_to_cam(world_to_cam: Tensor) -> Tensor:
    """All cameras at the world's origin, looking the same way, in the shape of world_to_cam [..., 3 or 4, 4]."""
    return torch.eye(4, dtype=world_to_cam.dtype, device=world_to_cam.device)[: world_to_cam.shape[-2]].expand_as(
        world_to_cam
    )
