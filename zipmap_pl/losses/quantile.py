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
    count = mask.sum()
    rank = (quantile * (count.double() - 1)).round().clamp(min=0).long()
    ordered_last = values.detach().masked_fill(~mask, torch.inf)
    threshold = smallest(ordered_last.flatten(), rank).clamp(max=LIMIT)
    below = mask & (values.detach() < threshold)
    limit = torch.where(count <= MIN_ELEMENTS, torch.inf, LIMIT).to(values.dtype)
    return masked_mean(values.clamp(max=limit), below | (mask & (below.sum() <= MIN_ELEMENTS)))


def smallest(values: Tensor, rank: Tensor) -> Tensor:
    """The value of `rank`, a scalar counted from 0, among values [N] in rising order.

    On a GPU all are sorted: the host then need not wait for the rank, and there selecting one is the slower way.
    """
    return _by_sorting(values, rank) if values.is_cuda else values.kthvalue(int(rank) + 1).values


def _by_sorting(values: Tensor, rank: Tensor) -> Tensor:
    return values.sort().values.gather(0, rank[None])[0]
