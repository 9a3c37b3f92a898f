"""Pose errors: published angles, known rotations, no dependence on world frame or unit, bad answers count as bad."""

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_files import golden_arrays

from zipmap_pl.geometry.rigid import compose_rigid, invert_rigid, join_rigid, pairwise_relative
from zipmap_pl.metrics.baselines import identity_world_to_cam
from zipmap_pl.metrics.pose import (
    auc_score,
    centre_errors,
    pose_errors,
    rotation_errors,
    trajectory_errors,
    translation_direction_errors,
)


def cameras(seed: int, scenes: int = 2, views: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    quaternion = torch.randn(scenes, views, 4, generator=generator, dtype=torch.float64)
    rotation = roma.unitquat_to_rotmat(roma.quat_normalize(quaternion))
    return join_rigid(rotation, torch.randn(scenes, views, 3, generator=generator, dtype=torch.float64))


def test_published_angles():
    file = {name: torch.from_numpy(value) for name, value in golden_arrays("metrics_relpose.npz").items()}
    first, second = file["pair_i"], file["pair_j"]
    predicted, true = (pairwise_relative(file[name].double())[:, second, first] for name in ("pred_w2c", "gt_w2c"))
    # The published code takes quaternions of matrices that are rotations to float32 only.
    torch.testing.assert_close(rotation_errors(predicted, true), file["float64/rot_error_deg"], atol=0.03, rtol=1e-3)
    directed = translation_direction_errors(predicted, true)
    folded = torch.minimum(directed, 180 - directed)  # the published angle does not see the sign
    torch.testing.assert_close(folded, file["float64/trans_error_deg"], atol=1e-4, rtol=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1))
def test_world_frame_and_unit_do_not_matter(seed):
    truth = cameras(seed)
    moved = compose_rigid(truth, cameras(seed + 1, 1, 1)[:, :1])
    moved[..., 3] *= 5
    errors = pose_errors(moved, truth)
    assert errors.rotation.tolist() == pytest.approx([0, 0], abs=1e-4)
    assert errors.translation_direction.tolist() == pytest.approx([0, 0], abs=1e-4)
    assert errors.centre.tolist() == pytest.approx([0, 0], abs=1e-9)
    other, somewhere = cameras(seed + 2), cameras(seed + 3, 1, 1)[:, :1]
    one, two = pose_errors(other, truth), pose_errors(compose_rigid(other, somewhere), truth)
    torch.testing.assert_close(one.rotation, two.rotation)
    torch.testing.assert_close(one.translation_direction, two.translation_direction)
    torch.testing.assert_close(one.centre, two.centre)


def test_known_rotation_of_the_last_of_three_views():
    truth = cameras(0, 1, 3)
    turn = join_rigid(roma.rotvec_to_rotmat(torch.tensor([0, 0.3, 0], dtype=torch.float64)), torch.zeros(3).double())
    predicted = truth.clone()
    predicted[:, 2] = compose_rigid(turn, truth[:, 2])
    assert pose_errors(predicted, truth).rotation.item() == pytest.approx(np.rad2deg(0.3) * 2 / 3)


def test_opposite_direction_is_180_degrees():
    truth = cameras(0, 1, 2)
    relative = pairwise_relative(truth)[:, 0, 1]
    opposite = relative.clone()
    opposite[..., 3] *= -1
    assert translation_direction_errors(opposite, relative).item() == pytest.approx(180)


def test_identity_baseline():
    truth = cameras(3)
    errors = pose_errors(identity_world_to_cam(truth), truth)
    assert errors.centre.tolist() == pytest.approx([1, 1])
    assert errors.translation_direction.tolist() == [90, 90]
    angles = roma.rotmat_geodesic_distance(pairwise_relative(truth)[..., :3], torch.eye(3, dtype=torch.float64))
    expected = angles.sum((1, 2)) / (4 * 3)
    torch.testing.assert_close(errors.rotation, expected.rad2deg())


def test_predictions_that_are_no_cameras_get_the_worst_score():
    truth = cameras(1, 1, 3)
    predicted = torch.full_like(truth, torch.nan)
    errors = pose_errors(predicted, truth)
    assert (errors.rotation.item(), errors.translation_direction.item(), errors.centre.item()) == (180, 90, 1)


def test_centre_error_uses_the_best_scale_and_never_a_mirror():
    truth = cameras(2, 1, 5)
    centred = invert_rigid(truth)
    centred[..., 3] = -centred[..., 3] + 2 * centred[:, :1, :, 3]  # mirrored at view 0
    assert centre_errors(invert_rigid(centred), truth).item() == pytest.approx(1)


THRESHOLDS = (5, 15, 30)


@pytest.mark.parametrize(("published", "sequences"), [("pooled", 6), ("pooled_with_edge_sequence", 7)])
def test_published_auc(published, sequences):
    file = golden_arrays("metrics_relpose.npz")
    predicted, true = (torch.from_numpy(file[name][:sequences]).double() for name in ("pred_w2c", "gt_w2c"))
    pair = pose_errors(predicted, true).pair
    for threshold, expected in zip(THRESHOLDS, file[f"float64/{published}_RRA_RTA_AUC"][:, 2], strict=True):
        assert 100 * auc_score(pair, threshold).mean().item() == pytest.approx(expected, abs=1e-6)


def test_published_auc_of_errors_on_the_edges_of_bins():
    file = golden_arrays("metrics_relpose.npz")
    errors = torch.from_numpy(np.maximum(file["auc_only/r_error"], file["auc_only/t_error"]))
    ours = [100 * auc_score(errors, threshold).mean().item() for threshold in THRESHOLDS]
    assert ours == pytest.approx(file["auc_only/RRA_RTA_AUC"][:, 2], abs=1e-6)


def test_published_trajectory_errors():
    file = golden_arrays("metrics_trajectory.npz")
    names = [name for name in file["scored"].tolist() if name != "missing_frames40"]  # joined by time
    assert len(names) == 9
    for name in names:
        predicted, true = (
            torch.from_numpy(file[f"{name}/{side}"]).double()[None, :, :3, 3] for side in ("pred_c2w", "gt_c2w")
        )
        ours = trajectory_errors(predicted, true).item()
        assert ours == pytest.approx(file[f"{name}/ATE_RPEtrans_RPErot"][0], rel=1e-9, abs=1e-10), name


def test_cameras_in_one_place_score_the_spread_of_the_true_ones():
    file = golden_arrays("metrics_trajectory.npz")
    true = torch.from_numpy(file["static_prediction20/gt_c2w"])[None, :, :3, 3]
    spread = (true - true.mean(1, keepdim=True)).square().sum(-1).mean().sqrt()
    for predicted in (torch.ones_like(true), torch.full_like(true, torch.nan)):
        assert trajectory_errors(predicted, true).item() == pytest.approx(spread.item())
    line = torch.linspace(0, 1, 20)[None, :, None] * torch.tensor([1.0, 2, 3])
    assert trajectory_errors(line * 5 + 1, line).item() == pytest.approx(0, abs=1e-6)
