"""Drops the largest losses of a batch before they are averaged: outliers of imperfect ground truth."""

import torch
from torch import Tensor

from zipmap_pl.losses.safety import LIMIT, masked_mean

MIN_ELEMENTS = 1000


def quantile_mean(values: Tensor, mask: Tensor, quantile: float) -> Tensor:
    """Mean of the values strictly below their quantile, where mask (same shape) holds; 0 if nowhere.

    quantile: nearest rank, in [0, 1]. Nothing is dropped when 1,000 values or fewer would remain. (The published rule
    for more than 1e8 values is left out: a batch never has as many pixels.)
    """
    count = int(mask.sum())
    if count <= MIN_ELEMENTS:
        return masked_mean(values, mask)
    rank = round(quantile * (count - 1)) + 1
    ordered_last = values.detach().masked_fill(~mask, torch.inf)
    threshold = ordered_last.flatten().kthvalue(rank).values.clamp(max=LIMIT)
    below = mask & (values.detach() < threshold)
    return masked_mean(values.clamp(max=LIMIT), below | (mask & (below.sum() <= MIN_ELEMENTS)))
