"""Depth losses: confidence-weighted error, plain error, and how the error differs between neighbouring pixels."""

from collections.abc import Callable

import torch
from torch import Tensor

from zipmap_pl.losses.quantile import quantile_mean
from zipmap_pl.losses.safety import LIMIT, bounded, finite

GRADIENT_SCALES = 4


def by_scene(loss: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """A loss of this module scene by scene: its mean over the scenes with valid pixels.

    maps: what the loss takes, [B, S, H, W] each, the mask last.
    """
    has_depth = maps[-1].flatten(1).any(1)
    losses = torch.stack([loss(*scene) for scene in zip(*(each.split(1) for each in maps), strict=True)])
    return losses.masked_fill(~has_depth, 0.0).sum() / has_depth.sum().clamp(min=1)


def by_batch(loss: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """A loss of this module over all scenes of the batch together, as published."""
    return loss(*maps)


def depth_confidence_loss(error: Tensor, confidence: Tensor, mask: Tensor, alpha: float, valid_range: float) -> Tensor:
    """Mean of |error| * confidence - alpha * log(confidence) without the largest.

    error: prediction (aligned) - truth, confidence > 1, mask: [B, S, H, W]; valid_range: share of the valid pixels
    that count.
    """
    return quantile_mean(bounded(finite(error).abs() * confidence - alpha * confidence.log()), mask, valid_range)


def depth_regression_loss(error: Tensor, mask: Tensor, valid_range: float) -> Tensor:
    """Mean of |error| without the largest; shapes as in `depth_confidence_loss`."""
    return quantile_mean(bounded(finite(error).abs()), mask, valid_range)


def depth_gradient_loss(error: Tensor, mask: Tensor) -> Tensor:
    """Mean over 4 scales of how much the error differs between neighbouring valid pixels, per valid pixel of the scale.

    error: prediction (aligned) - truth, mask: [B, S, H, W]. Scale k keeps every 2^k-th row and column.
    """
    error = finite(error).masked_fill(~mask, 0.0)
    scales = (slice(None, None, 2**k) for k in range(GRADIENT_SCALES))
    losses = [_gradient_at_one_scale(error[..., every, every], mask[..., every, every]) for every in scales]
    return bounded(torch.stack(losses).mean())


def _gradient_at_one_scale(error: Tensor, mask: Tensor) -> Tensor:
    total = error.new_zeros(())
    for dim in (-1, -2):
        size = error.shape[dim] - 1
        both = mask.narrow(dim, 0, size) & mask.narrow(dim, 1, size)
        difference = error.diff(dim=dim).abs().clamp(max=LIMIT)
        total = total + difference.masked_fill(~both, 0.0).sum()
    return total / mask.sum().clamp(min=1)
