"""Scale alignment of predictions that are right up to one factor per scene."""

import torch
from torch import Tensor


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Lower median [B] of the entries of values [B, ...] where mask [B, ...] holds; NaN for a scene without any."""
    return values.masked_fill(~mask, torch.nan).flatten(1).nanmedian(dim=1).values


def median_scale(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Factor [B] that brings the median of prediction [B, ...] to that of truth, over mask [B, ...]; 1 if undefined."""
    scale = masked_median(truth, mask) / masked_median(prediction, mask)
    return torch.where(scale.isfinite(), scale, torch.ones_like(scale))
