"""Depth errors equal the published ones, do not depend on units, and survive bad predictions."""

import numpy as np
import pytest
import torch
from shared_files import golden_arrays

from zipmap_pl.metrics.depth import depth_errors


@pytest.mark.parametrize(
    ("sequence", "case", "frames", "farthest"),
    [
        ("bonn/seq0", "median", slice(None), 70),
        ("bonn/seq1", "median", slice(None), 70),
        ("kitti/seq0", "median", slice(None), np.inf),
        ("kitti/seq1", "median", slice(None), np.inf),
        ("nyu-v2/seq0", "mono1/median", slice(1, 2), np.inf),
    ],
)
def test_published_numbers_with_one_median_scale(sequence, case, frames, farthest):
    file = golden_arrays("metrics_depth.npz")
    truth = torch.from_numpy(file[f"{sequence}/gt"][frames]).float()[None]
    prediction = torch.from_numpy(file[f"{sequence}/pred_resized"][frames])[None]
    errors = depth_errors(prediction, truth, (truth > 0) & (truth < farthest))
    published = dict(zip(file["metric_names"].tolist(), file[f"{sequence}/{case}/metrics"], strict=True))
    assert errors.abs_rel.item() == pytest.approx(published["AbsRel"], rel=2e-6)
    assert errors.delta.item() == pytest.approx(published["delta<1.25"], rel=2e-6)


def test_units_do_not_matter_and_each_scene_has_its_own():
    truth = 1 + torch.rand(2, 3, 6, 7)
    units = torch.tensor([0.01, 700.0])[:, None, None, None]
    errors = depth_errors(truth * units, truth, torch.ones(2, 3, 6, 7, dtype=torch.bool))
    assert errors.abs_rel.tolist() == pytest.approx([0, 0], abs=1e-5)
    assert errors.delta.tolist() == [1, 1]


def test_predictions_that_are_no_depth_count_as_misses():
    truth = torch.ones(1, 1, 1, 8)
    prediction = torch.tensor([1, 1, 1, 1, 1, torch.nan, torch.inf, -1]).reshape(1, 1, 1, 8)
    errors = depth_errors(prediction, truth, torch.ones_like(truth, dtype=torch.bool))
    assert errors.abs_rel.item() == pytest.approx(3 / 8)
    assert errors.delta.item() == pytest.approx(5 / 8)


def test_scenes_without_depth_are_marked():
    truth = 1 + torch.rand(2, 1, 4, 4)
    mask = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    mask[1] = False
    errors = depth_errors(torch.ones_like(truth), truth, mask)
    assert errors.valid.tolist() == [True, False]
    assert errors.abs_rel[1] == errors.delta[1] == 0
