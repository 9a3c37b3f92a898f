"""Brings a prediction, which knows no unit, to the unit of the ground truth: one factor per scene.

The factor comes from the local points. First the prediction is divided by its own mean distance (gradients flow
through it), then multiplied by the factor that minimises the weighted L1 error of the points (no gradient). Points,
depth (of queried views too) and the translations of all camera iterations share it. The solver is the untruncated case of MoGe's robust,
optimal and efficient (ROE) alignment.
"""

from dataclasses import replace

import torch
from torch import Tensor

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.geometry.pose_encoding import decode_world_to_cam, identity_encoding
from zipmap_pl.losses.normalisation import SCALE_RANGE, GroundTruth, mean_camera_distance
from zipmap_pl.losses.weighting import inverse_depth_weights


def align_prediction(
    prediction: Prediction, truth: GroundTruth, samples: int = 4096, by_cameras: bool = False
) -> tuple[Prediction, Tensor]:
    """The prediction in the unit of `truth`, and the factors [B] of the solver (1 for scenes without valid pixels).

    by_cameras: scenes without any valid pixel are divided by the mean distance of their predicted cameras, as their
    truth is; otherwise they mean nothing.
    """
    own = own_scale(prediction.local_points, truth.mask)
    if by_cameras:
        empty = ~truth.mask.flatten(1).any(1)
        identity = identity_encoding(own)  # others must not carry a gradient, not even a bad one
        poses = torch.where(empty[:, None, None], prediction.pose_enc_list[-1], identity)
        own = torch.where(empty, mean_camera_distance(decode_world_to_cam(poses)).clamp(*SCALE_RANGE), own)
    points = prediction.local_points.detach() / own.detach()[:, None, None, None, None]
    factor = solve_point_scale(points, truth.local_points, truth.mask, samples)
    return rescale(prediction, factor / own), factor


def rescale(prediction: Prediction, factor: Tensor) -> Prediction:
    """The prediction with lengths multiplied by factor [B], those of queried views too."""
    nvs_pred = prediction.nvs_pred
    if nvs_pred is not None:
        nvs_pred = torch.cat([nvs_pred[..., :3], nvs_pred[..., 3:] * factor[:, None, None, None, None]], dim=-1)
    per_pixel = factor[:, None, None, None, None]
    per_view = torch.cat([factor[:, None].expand(-1, 3), factor.new_ones(len(factor), 6)], dim=1)[:, None]
    return replace(
        prediction,
        pose_enc=prediction.pose_enc * per_view,
        pose_enc_list=[pose_enc * per_view for pose_enc in prediction.pose_enc_list],
        depth=prediction.depth * per_pixel,
        local_points=prediction.local_points * per_pixel,
        nvs_pred=nvs_pred,
    )


def own_scale(local_points: Tensor, mask: Tensor) -> Tensor:
    """Mean distance [B] of predicted points [B, S, H, W, 3] to their cameras over valid pixels, within [1e-6, 1e6]."""
    distance = local_points.norm(dim=-1).masked_fill(~mask, 0.0)
    return (distance.sum((1, 2, 3)) / (mask.sum((1, 2, 3)) + 1e-6)).clamp(*SCALE_RANGE)


@torch.no_grad()
def solve_point_scale(prediction: Tensor, truth: Tensor, mask: Tensor, samples: int = 4096) -> Tensor:
    """Factors [B] > 0 that bring predicted local points [B, S, H, W, 3] to the true ones, weighted by inverse depth.

    `samples` points per scene are taken at even steps through its valid pixels (repeated if there are fewer); 1 if
    there are none.
    """
    weights = inverse_depth_weights(truth[..., 2], mask)
    index, empty = _even_samples(mask, samples)
    x, y = (_take(points.flatten(1, 3), index, empty) for points in (prediction, truth))
    w = _take(weights.flatten(1)[..., None].expand(-1, -1, 3), index, empty)
    return weighted_l1_scale(x.flatten(1), y.flatten(1), w.flatten(1)).abs()


def _even_samples(mask: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Flat pixel indices [B, samples] at even steps through the valid pixels, and [B] whether there are none."""
    running = mask.flatten(1).cumsum(1)
    count = running[:, -1:]
    ordinal = torch.arange(samples, device=mask.device) * count // samples
    index = torch.searchsorted(running, ordinal + 1).clamp(max=running.shape[1] - 1)
    return index, count[:, 0] == 0


def _take(values: Tensor, index: Tensor, empty: Tensor) -> Tensor:
    """values [B, P, 3] at index [B, K]: [B, K, 3], ones for empty scenes."""
    taken = values.gather(1, index[..., None].expand(-1, -1, 3))
    return taken.masked_fill(empty[:, None, None], 1.0)


def weighted_l1_scale(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The factor a [B] that minimises sum_j w_j |a x_j - y_j| over x, y, weights [B, K].

    This is the weighted median of y / x with weights w |x|: the first ratio, in rising order, at which half the
    weight is reached.
    """
    y = torch.where(x < 0, -y, y)
    x = x.abs()
    ratio, order = (y / x.clamp(min=1e-7)).sort(dim=1)
    mass = (weights * x).gather(1, order).cumsum(1)
    half_reached = 2 * mass >= mass[:, -1:]
    return ratio.gather(1, half_reached.int().argmax(1, keepdim=True))[:, 0]
