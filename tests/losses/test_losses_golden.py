"""Every published loss term, for both camera losses, with and without a scene that has no depth."""

import numpy as np
import pytest
import torch
from shared_files import golden_arrays

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.depth import depth_confidence_loss
from zipmap_pl.losses.normalisation import GroundTruth, QueryTruth
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.losses.scale import align_prediction

FILES = ["losses.npz", "losses_one_scene_without_depth.npz"]
TERMS = {
    "camera": "loss_camera",
    "points": "loss_local_pts",
    "normals": "loss_local_pts_normal",
    "depth_confidence": "loss_conf_depth",
    "depth_regression": "loss_reg_depth",
    "depth_gradient": "loss_grad_depth",
}
QUERY_TERMS = {"loss_nvs_rgb": 10.0, "loss_nvs_conf_depth": 1.0, "loss_nvs_reg_depth": 1.0, "loss_nvs_grad_depth": 1.0}


def load(file: str) -> tuple[Prediction, GroundTruth, dict[str, np.ndarray]]:
    golden = golden_arrays(file)
    pred = {k.removeprefix("pred/"): torch.from_numpy(v) for k, v in golden.items() if k.startswith("pred/")}
    truth = {
        k.removeprefix("gt/"): torch.from_numpy(v)
        for k, v in golden.items()
        if k.startswith("gt/") and v.dtype.kind != "U"
    }
    prediction = Prediction(
        pred["pose_enc"], list(pred["pose_enc_list"]), pred["depth"], pred["depth_conf"], pred["local_points"]
    )
    ground_truth = GroundTruth(
        truth["extrinsics"],
        truth["intrinsics"],
        truth["depths"],
        truth["point_masks"],
        truth["cam_points"],
        torch.tensor([name == "hypersim" for name in golden["gt/dataset_name"]]),
        torch.ones(2),
    )
    return prediction, ground_truth, golden


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("mode", ["reference_view", "affine_invariant"])
def test_every_term_equals_the_published_one(file, mode):
    prediction, truth, golden = load(file)
    config = LossConfig(cameras_without_depth=False)  # as published
    terms = ReconstructionLoss(config, reference_view=mode == "reference_view")(prediction, truth)
    for ours, theirs in TERMS.items():
        assert terms[ours].item() == pytest.approx(float(golden[f"{mode}/{theirs}"]), rel=2e-5, abs=1e-12), ours
    # The published curves of the affine-invariant loss are logged with the weights 10 and 0.2 applied.
    logged = config.affine_invariant if mode == "affine_invariant" else config.reference_view
    assert terms["camera_translation"].item() * logged.translation == pytest.approx(golden[f"{mode}/loss_T"], rel=2e-5)
    assert terms["camera_rotation"].item() * logged.rotation == pytest.approx(golden[f"{mode}/loss_R"], rel=2e-5)
    assert terms["camera_field_of_view"].item() == pytest.approx(golden[f"{mode}/loss_FL"], rel=2e-5)
    query = sum(weight * golden[f"{mode}/{name}"] for name, weight in QUERY_TERMS.items())
    assert terms["total"].item() + query == pytest.approx(golden[f"{mode}/loss_objective"], rel=2e-5)


@pytest.mark.parametrize(("file", "factors"), [(FILES[0], [1.3914, 1.3592]), (FILES[1], [1.0, 1.4104])])
def test_scale_of_every_scene(file, factors):
    prediction, truth, _ = load(file)
    _, scale = align_prediction(prediction, truth)
    assert scale.tolist() == pytest.approx(factors, abs=5e-5)


def test_half_precision_predictions_are_judged_in_float32():
    prediction, truth, _ = load(FILES[0])
    prediction.depth = prediction.depth.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        terms = ReconstructionLoss(LossConfig())(prediction, truth)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    prediction.depth = prediction.depth.float()
    expected = ReconstructionLoss(LossConfig())(prediction, truth)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=0, atol=0, msg=name)


def test_golden_tensors_notice_a_changed_formula():
    """The confidence term reacts to alpha: the goldens pin it."""
    prediction, truth, golden = load(FILES[0])
    aligned, _ = align_prediction(prediction, truth)
    error = aligned.depth[..., 0] - truth.depth
    published = golden["reference_view/loss_conf_depth"]
    assert depth_confidence_loss(error, aligned.depth_conf, truth.mask, 0.2, 0.98).item() == pytest.approx(
        published, rel=2e-5
    )
    assert depth_confidence_loss(error, aligned.depth_conf, truth.mask, 0.21, 0.98).item() != pytest.approx(
        published, rel=1e-3
    )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("mode", ["reference_view", "affine_invariant"])
def test_every_term_of_queried_views_equals_the_published_one(file, mode):
    prediction, truth, golden = load(file)
    prediction.nvs_pred, prediction.nvs_depth_conf, images, depth, mask = (
        torch.from_numpy(golden[name])
        for name in (
            "pred/nvs_pred",
            "pred/nvs_depth_conf",
            "gt/nvs_target_images",
            "gt/nvs_target_depths",
            "gt/nvs_target_point_masks",
        )
    )
    config = LossConfig(query_perceptual=0, cameras_without_depth=False)
    terms = ReconstructionLoss(config, QueryLoss(config), mode == "reference_view")(
        prediction, truth, QueryTruth(images, depth, mask)
    )
    published = {
        "query_colour": "nvs_rgb",
        "query_squared_error": "nvs_l2",
        "query_psnr": "nvs_psnr",
        "query_depth_confidence": "nvs_conf_depth",
        "query_depth_regression": "nvs_reg_depth",
        "query_depth_gradient": "nvs_grad_depth",
        "total": "objective",
    }
    for ours, theirs in published.items():
        assert terms[ours].item() == pytest.approx(float(golden[f"{mode}/loss_{theirs}"]), rel=2e-5), ours
