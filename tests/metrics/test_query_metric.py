"""Queried pictures: known numbers, a baseline beside them, every picture counts once."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.metrics.query import QueryMetric


class MeanDifference(nn.Module):
    def forward(self, pictures: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        assert not torch.is_autocast_enabled("cpu")
        return (pictures - others).abs().mean((1, 2, 3))


def batch(scenes: int = 2, seed: int = 0) -> Batch:
    views, size = 4, 16
    depth = torch.ones(scenes, views, size, size)
    return Batch(
        torch.rand(scenes, views, 3, size, size, generator=torch.Generator().manual_seed(seed)),
        depth,
        depth > 0,
        torch.eye(4)[:3].repeat(scenes, views, 1, 1),
        torch.eye(3).repeat(scenes, views, 1, 1),
        torch.ones(scenes, dtype=torch.bool),
        ["toy"] * scenes,
        ["scene"] * scenes,
        torch.zeros(scenes, views, dtype=torch.int64),
        input_count=2,
        targets=torch.tensor([[3, 1], [2, 3], [1, 2]])[:scenes],
    )


def saying(of: Batch, error: torch.Tensor) -> Prediction:
    """The target pictures with an error [B, T] on all channels."""
    pictures = (of.target_views().images + error[:, :, None, None, None]).movedim(2, -1)
    depth = pictures[..., 0]
    encoding = torch.zeros(len(of.images), 2, 9)
    return Prediction(
        encoding, [encoding], depth[..., None], depth, depth, nvs_pred=torch.cat([pictures, pictures[..., :1]], -1)
    )


def test_known_numbers():
    of = batch()
    metric = QueryMetric(MeanDifference())
    with torch.autocast("cpu", torch.bfloat16):
        metric.update(saying(of, torch.tensor([[0.1, 0.1], [0.1, 0.01]])), of)
    values = metric.compute()
    assert values["query_psnr"].item() == pytest.approx((3 * 20 + 40) / 4, abs=1e-3)
    assert values["query_lpips"].item() == pytest.approx(0.31 / 4, rel=1e-4)
    assert 0.5 < values["query_ssim"].item() < 1
    # uniform noise around its mean: variance 1 / 12, 10.8 dB
    assert values["query_psnr_baseline"].item() == pytest.approx(10.8, abs=0.3)
    assert values["query_ssim_baseline"].item() < 0.1


def test_a_perfect_picture_does_not_hide_the_others():
    of = batch()
    metric = QueryMetric()
    metric.update(saying(of, torch.tensor([[0.0, 0.1], [0.1, 0.1]])), of)
    values = metric.compute()
    assert values["query_psnr"].item() == pytest.approx((100 + 3 * 20) / 4, abs=1e-2)
    assert "query_lpips" not in values


def test_repeats_and_batches_without_targets_add_nothing():
    of = batch(3)
    once, padded = QueryMetric(), QueryMetric()
    error = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    first = replace(of, images=of.images[:2], targets=of.targets[:2])
    once.update(saying(first, error[:2]), first)
    padded.update(saying(of, error), replace(of, repeat=torch.tensor([False, False, True])))
    padded.update(saying(of, error), replace(of, targets=None, input_count=None))
    padded.update(saying(of, error), replace(of, repeat=torch.ones(3, dtype=torch.bool)))
    assert padded.compute() == once.compute()
    assert {reduction.__name__ for reduction in padded._reductions.values()} == {"dim_zero_sum"}
