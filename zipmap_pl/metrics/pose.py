"""How good predicted cameras are. Nothing depends on the world frame, and no error of a translation on its unit."""

from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from zipmap_pl.geometry.rigid import camera_centres, pairwise_relative, relative_to_first, split_rigid

SMALLEST_BASELINE = 1e-8


@dataclass
class PoseErrors:
    """Per scene, [B]: mean angles over pairs in degrees, and the relative error of the centres."""

    rotation: Tensor
    translation_direction: Tensor
    centre: Tensor


def pose_errors(prediction: Tensor, truth: Tensor) -> PoseErrors:
    """Errors of world-to-camera extrinsics [B, S, 3 or 4, 4] with S >= 2; see the functions of each."""
    first, second = torch.triu_indices(truth.shape[1], truth.shape[1], offset=1, device=truth.device)
    relative, true_relative = (pairwise_relative(extrinsics)[:, first, second] for extrinsics in (prediction, truth))
    return PoseErrors(
        rotation_errors(relative, true_relative).mean(1),
        translation_direction_errors(relative, true_relative).mean(1),
        centre_errors(prediction, truth),
    )


def rotation_errors(prediction: Tensor, truth: Tensor) -> Tensor:
    """Angle in degrees [...] between rotations of relative poses [..., 3 or 4, 4].

    180 where the prediction is not finite.
    """
    angle = roma.rotmat_geodesic_distance(split_rigid(prediction)[0], split_rigid(truth)[0])
    return angle.rad2deg().nan_to_num(nan=180.0)


def translation_direction_errors(prediction: Tensor, truth: Tensor) -> Tensor:
    """Angle in degrees, 0 to 180, [...] between translations of relative poses [..., 3 or 4, 4].

    A random answer scores 90 on average; so does one without direction (zero or not finite), or a pair without
    baseline.
    """
    a, b = split_rigid(prediction)[1], split_rigid(truth)[1]
    sine, cosine = torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)
    angle = torch.atan2(sine, cosine).rad2deg()
    defined = (a.norm(dim=-1) > SMALLEST_BASELINE) & (b.norm(dim=-1) > SMALLEST_BASELINE) & angle.isfinite()
    return torch.where(defined, angle, torch.full_like(angle, 90.0))


def centre_errors(prediction: Tensor, truth: Tensor) -> Tensor:
    """[B]: sum_i |c_i - s c'_i| / sum_i |c_i| with camera centres c relative to view 0, of [B, S, 3 or 4, 4].

    s >= 0 is the least-squares scale of each scene. 0 is perfect; all predicted cameras in one place, or cameras that
    are not finite, score 1. A scene whose true cameras do not move scores 0.
    """
    predicted, true = (camera_centres(relative_to_first(extrinsics)) for extrinsics in (prediction, truth))
    predicted = predicted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    energy = predicted.square().sum((1, 2))
    scale = (predicted * true).sum((1, 2)).clamp(min=0.0) / energy.clamp(min=SMALLEST_BASELINE**2)
    distance = (true - scale[:, None, None] * predicted).norm(dim=-1).sum(1)
    extent = true.norm(dim=-1).sum(1)
    return torch.where(
        extent > SMALLEST_BASELINE, distance / extent.clamp(min=SMALLEST_BASELINE), torch.zeros_like(extent)
    )
