"""Alignment of predictions that are right up to one factor, or one similarity, per scene."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zipmap_pl.geometry.rigid import rotate


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Lower median [B] of the entries of values [B, ...] where mask [B, ...] holds; NaN for a scene without any."""
    return values.masked_fill(~mask, torch.nan).flatten(1).nanmedian(dim=1).values


def median_scale(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Factor [B] that brings the median of prediction [B, ...] to that of truth, over mask [B, ...]; 1 if undefined."""
    scale = masked_median(truth, mask) / masked_median(prediction, mask)
    return torch.where(scale.isfinite(), scale, torch.ones_like(scale))


@dataclass
class Similarity:
    """The maps x -> scale * R x + t of B scenes: scale [B], rotation [B, 3, 3], translation [B, 3]."""

    scale: Tensor
    rotation: Tensor
    translation: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Mapped points [B, P, 3]."""
        return self.scale[:, None, None] * rotate(self.rotation[:, None], points) + self.translation[:, None]


def umeyama(source: Tensor, target: Tensor, mask: Tensor | None = None) -> Similarity:
    """The similarities that bring source [B, P, 3] closest to target in the least squares, over mask [B, P]; in float64.

    No reflection. Where all source points are one, the scale is 0: all of them go to the middle of the target. The
    rotation about a line is arbitrary where either side is one.
    """
    source, target = source.double(), target.double()
    weight = torch.ones_like(source[..., :1]) if mask is None else mask[..., None].double()
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
    middle, target_middle = (weight * source).sum(1), (weight * target).sum(1)
    source, target = source - middle[:, None], target - target_middle[:, None]
    u, stretch, vh = torch.linalg.svd((weight * target).mT @ source)
    sign = torch.ones_like(stretch)
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * sign[:, None]) @ vh
    spread = (weight * source.square()).sum((1, 2))
    scale = torch.where(spread > 0, (stretch * sign).sum(1) / spread, torch.zeros_like(spread))
    return Similarity(scale, rotation, target_middle - scale[:, None] * rotate(rotation, middle))
