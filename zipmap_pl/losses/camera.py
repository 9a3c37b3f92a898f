"""Camera losses over all iterations of the camera head; later iterations count more.

`reference_view` compares poses in the frame of view 0; `affine_invariant` compares the relative poses of all pairs of
views.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zipmap_pl.geometry.pose_encoding import decode_world_to_cam, identity_encoding
from zipmap_pl.geometry.rigid import pairwise_relative, split_rigid
from zipmap_pl.losses.safety import bounded

ITERATION_DECAY = 0.6
HUBER_DELTA = 0.1
COSINE_MARGIN = 1e-6


@dataclass
class CameraTerms:
    """The three parts of a camera loss, scalars, already averaged over the iterations."""

    translation: Tensor
    rotation: Tensor
    field_of_view: Tensor


def reference_view_loss(pose_encodings: Tensor, truth: Tensor, scenes: Tensor) -> CameraTerms:
    """Mean absolute errors of translation, raw quaternion and field of view (radians).

    pose_encodings [I, B, S, 9] of I iterations, truth [B, S, 9] with w >= 0, scenes [B] bool: which count. The
    quaternion is neither normalised nor flipped: the head learns the standardised one.
    """
    pose_encodings, truth = _only(scenes, pose_encodings, truth)
    error = bounded((pose_encodings - truth).abs()).mean(2).sum(1) / scenes.sum().clamp(min=1)  # [I, 9]
    translation, rotation, field_of_view = (part.mean(-1) for part in error.split([3, 4, 2], dim=-1))
    return CameraTerms(_over_iterations(translation), _over_iterations(rotation), _over_iterations(field_of_view))


def affine_invariant_loss(pose_encodings: Tensor, truth: Tensor, scenes: Tensor) -> CameraTerms:
    """Huber loss of relative translations, angle (radians) between relative rotations, field of view error.

    Shapes as in `reference_view_loss`. Relative poses of all ordered pairs of different views; with one view the
    first two are 0.
    """
    pose_encodings, truth = _only(scenes, pose_encodings, truth)
    rotation, translation = split_rigid(pairwise_relative(decode_world_to_cam(pose_encodings)))
    true_rotation, true_translation = split_rigid(pairwise_relative(decode_world_to_cam(truth)))
    huber = F.huber_loss(translation, true_translation.expand_as(translation), reduction="none", delta=HUBER_DELTA)
    cosine = ((rotation * true_rotation).sum((-1, -2)) - 1) / 2
    angle = torch.acos(cosine.clamp(-1 + COSINE_MARGIN, 1 - COSINE_MARGIN))
    field_of_view = (pose_encodings - truth)[..., 7:].abs().mean((-1, -2)).sum(1) / scenes.sum().clamp(min=1)
    return CameraTerms(
        _over_iterations(bounded(_mean_over_pairs(huber.mean(-1), scenes))),
        _over_iterations(bounded(_mean_over_pairs(angle, scenes))),
        _over_iterations(bounded(field_of_view)),
    )


def _only(scenes: Tensor, pose_encodings: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the identity camera in scenes that do not count, so that these add no error and a zero gradient."""
    identity = identity_encoding(truth)
    keep = scenes[:, None, None]
    return torch.where(keep, pose_encodings, identity), torch.where(keep, truth, identity)


def _mean_over_pairs(values: Tensor, scenes: Tensor) -> Tensor:
    """Mean [I] of values [I, B, S, S] over the pairs of different views of the scenes that count, or 0."""
    views = values.shape[-1]
    different = ~torch.eye(views, dtype=torch.bool, device=values.device) & scenes[:, None, None]
    return values.masked_fill(~different, 0.0).sum((1, 2, 3)) / different.sum().clamp(min=1)


def _over_iterations(values: Tensor) -> Tensor:
    """Scalar of values [I]: the mean with weights 0.6^(I - 1), ..., 0.6, 1 (not divided by their sum but by I)."""
    iterations = len(values)
    weights = ITERATION_DECAY ** torch.arange(iterations - 1, -1, -1, dtype=values.dtype, device=values.device)
    return (weights * values).sum() / iterations
