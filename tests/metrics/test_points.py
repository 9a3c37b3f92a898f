"""Distances of clouds: the published numbers before ICP, no dependence on world and unit, bad answers count as bad."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from shared_files import golden_arrays

from zipmap_pl.geometry.alignment import umeyama
from zipmap_pl.metrics.points import point_errors

CASES = ["room", "room_mm", "rough", "half_pixel", "exact"]


@pytest.mark.parametrize("case", CASES)
def test_published_alignment_and_distances(case):
    file = golden_arrays("metrics_pointmap.npz")
    predicted, true = (torch.from_numpy(file[f"{case}/{side}_points"])[None].double() for side in ("pred", "gt"))
    mask = torch.from_numpy(file[f"{case}/gt_depth"] > 1e-4)[None]
    similarity = umeyama(predicted.flatten(1, 3), true.flatten(1, 3), mask.flatten(1))
    assert similarity.scale.item() == pytest.approx(file[f"{case}/umeyama_c"], rel=1e-6)
    np.testing.assert_allclose(similarity.rotation[0], file[f"{case}/umeyama_R"], atol=1e-6)
    size = np.abs(file[f"{case}/umeyama_t"]).max()
    np.testing.assert_allclose(similarity.translation[0], file[f"{case}/umeyama_t"], atol=1e-6 * size)
    errors = point_errors(predicted, true, mask, most=10**9)
    accuracy, _, completeness, _ = file[f"{case}/before_icp_Acc_Comp"]
    tolerance = 1e-4 if case == "room_mm" else 1e-6
    assert errors.accuracy.item() == pytest.approx(accuracy, abs=tolerance)
    assert errors.completeness.item() == pytest.approx(completeness, abs=tolerance)


def cloud(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 2, 8, 9, 3, generator=torch.Generator().manual_seed(seed))


def test_world_and_unit_do_not_matter_and_invalid_pixels_do_not_count():
    truth = cloud()
    turn = torch.from_numpy(Rotation.from_rotvec([0.3, 1, -2]).as_matrix()).float()
    prediction = 7 * truth @ turn.T + 3
    mask = torch.ones(2, 2, 8, 9, dtype=torch.bool)
    mask[:, :, :, 4] = False
    prediction[:, :, :, 4] = torch.nan
    errors = point_errors(prediction, truth, mask)
    assert errors.accuracy.tolist() == pytest.approx([0, 0], abs=1e-5)
    assert errors.completeness.tolist() == pytest.approx([0, 0], abs=1e-5)
    mirrored = truth * torch.tensor([1.0, 1, -1])
    assert point_errors(mirrored, truth, mask).accuracy.min() > 0.05


def test_a_part_of_the_scene_is_accurate_but_not_complete():
    truth = cloud()
    prediction = truth.clone()
    prediction[:, 1] = truth[:, 0]  # the second view says what the first sees; alignment suffers, so compare only
    errors = point_errors(prediction, truth, torch.ones(2, 2, 8, 9, dtype=torch.bool))
    assert (errors.accuracy < errors.completeness).all()


def test_scenes_with_too_few_points_are_marked_and_samples_are_even():
    mask = torch.zeros(2, 2, 8, 9, dtype=torch.bool)
    mask[0, 0, 0, :2] = True
    mask[1] = True
    truth, prediction = cloud(), cloud(1)
    errors = point_errors(prediction, truth, mask)
    assert errors.valid.tolist() == [False, True]
    # 72 of 144 pixels: every second one
    half = point_errors(prediction, truth, mask, most=72)
    mask[1] = (torch.arange(144) % 2 == 0).view(2, 8, 9)
    assert half.accuracy[1] == point_errors(prediction, truth, mask).accuracy[1] != errors.accuracy[1]
