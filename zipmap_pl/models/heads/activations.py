"""From the raw numbers of a head to quantities with a meaning. No exponential is clamped (as published)."""

import torch
from torch import Tensor


def depth_and_confidence(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[..., 2] -> depth [..., 1] > 0, confidence [...] > 1."""
    return raw[..., :1].exp(), 1 + raw[..., 1].exp()


def colour_and_depth(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[..., 5] -> RGB in (0, 1) and depth > 0 [..., 4], confidence of the depth [...] > 1."""
    depth, confidence = depth_and_confidence(raw[..., 3:])
    return torch.cat([raw[..., :3].sigmoid(), depth], dim=-1), confidence


def local_points(raw: Tensor) -> Tensor:
    """[..., 3] -> points (x z, y z, z) [..., 3] in the camera's frame, with z = exp(raw z) > 0."""
    z = raw[..., 2:].exp()
    return torch.cat([raw[..., :2] * z, z], dim=-1)


def pose_encoding(raw: Tensor) -> Tensor:
    """[..., 9] -> the same with the two fields of view made non-negative; translation and quaternion stay linear."""
    return torch.cat([raw[..., :7], raw[..., 7:].relu()], dim=-1)
