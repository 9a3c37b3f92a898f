"""How good predicted cameras are. Nothing depends on the world frame, nor on the unit of the prediction."""

from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from zipmap_pl.geometry.alignment import umeyama
from zipmap_pl.geometry.rigid import camera_centres, pairwise_relative, relative_to_first, split_rigid

SMALLEST_BASELINE = 1e-8


@dataclass
class PoseErrors:
    """Errors of B scenes with P pairs of views, in degrees where not said otherwise.

    Attributes:
        rotation, translation_direction: [B] mean over the pairs.
        centre: [B] relative error of the centres.
        pair: [B, P] the larger of a pair's two angles, that of the translation without its sign, as in `auc_score`.
        trajectory: [B] see `trajectory_errors`.
    """

    rotation: Tensor
    translation_direction: Tensor
    centre: Tensor
    pair: Tensor
    trajectory: Tensor


def pose_errors(prediction: Tensor, truth: Tensor) -> PoseErrors:
    """Errors of world-to-camera world_to_cam [B, S, 3 or 4, 4] with S >= 2; see the functions of each.

    Pairs are (i, j) with i < j, the pose of a pair is E_j E_i^-1 as published.
    """
    first, second = torch.triu_indices(truth.shape[1], truth.shape[1], offset=1, device=truth.device)
    relative, true_relative = (
        pairwise_relative(world_to_cam)[:, second, first] for world_to_cam in (prediction, truth)
    )
    rotation, direction = (error(relative, true_relative) for error in (rotation_errors, translation_direction_errors))
    pair = torch.maximum(rotation, torch.minimum(direction, 180 - direction))
    trajectory = trajectory_errors(camera_centres(prediction), camera_centres(truth))
    return PoseErrors(rotation.mean(1), direction.mean(1), centre_errors(prediction, truth), pair, trajectory)


def auc_score(errors: Tensor, threshold: int) -> Tensor:
    """What each error in degrees adds to the area under the recall curve up to a threshold; the AUC is the mean.

    Recall is counted in bins of one degree, as published: an error of 2.5 is inside from the third of 5 bins on.
    """
    first_bin = torch.where(errors == threshold, errors - 1, errors.floor())
    return ((threshold - first_bin) / threshold).clamp(min=0.0)


def trajectory_errors(prediction: Tensor, truth: Tensor) -> Tensor:
    """Absolute trajectory error (ATE) [B] in the unit of the truth, of camera centres [B, S, 3] in any two worlds.

    Root mean square distance after the best similarity. Predicted cameras that are all in one place, or not finite,
    score the spread of the true ones (published tables leave them out). Of two views it is 0 unless they are in one place.
    """
    prediction = prediction.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).double()
    distance = (umeyama(prediction, truth)(prediction) - truth).norm(dim=-1)
    return distance.square().mean(1).sqrt()


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
    predicted, true = (camera_centres(relative_to_first(world_to_cam)) for world_to_cam in (prediction, truth))
    predicted = predicted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    energy = predicted.square().sum((1, 2))
    scale = (predicted * true).sum((1, 2)).clamp(min=0.0) / energy.clamp(min=SMALLEST_BASELINE**2)
    distance = (true - scale[:, None, None] * predicted).norm(dim=-1).sum(1)
    extent = true.norm(dim=-1).sum(1)
    return torch.where(
        extent > SMALLEST_BASELINE, distance / extent.clamp(min=SMALLEST_BASELINE), torch.zeros_like(extent)
    )
