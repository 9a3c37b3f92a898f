"""Queried views: split and unit of their truth, gradients, the weights of the terms, views without depth."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_vgg import random_vgg

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.geometry.rigid import relative_to_first
from zipmap_pl.losses import reconstruction, scale
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.normalisation import QueryTruth, ground_truth, normalise
from zipmap_pl.losses.perceptual import PerceptualDistance, lpips_network
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss

HEIGHT, WIDTH = 16, 18
WITHOUT_LPIPS = LossConfig(query_perceptual=0)


def batch(seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """Two scenes of five views: three inputs; the other two and one input are asked for."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.matrix_exp((skew := 0.2 * torch.randn(2, 5, 3, 3, generator=generator)) - skew.mT)
    return Batch(
        images=torch.rand(2, 5, 3, HEIGHT, WIDTH, generator=generator).to(dtype),
        depth=(1 + 0.3 * torch.rand(2, 5, HEIGHT, WIDTH, generator=generator)).to(dtype),
        mask=torch.ones(2, 5, HEIGHT, WIDTH, dtype=torch.bool),
        world_to_cam=torch.cat([rotation, torch.randn(2, 5, 3, 1, generator=generator)], -1).to(dtype),
        intrinsics=torch.tensor([[20.0, 0, WIDTH / 2], [0, 20, HEIGHT / 2], [0, 0, 1]], dtype=dtype).repeat(2, 5, 1, 1),
        normals=torch.ones(2, dtype=torch.bool),
        dataset=["toy"] * 2,
        scene=["a", "b"],
        frames=torch.arange(5).repeat(2, 1),
        input_count=3,
        targets=torch.tensor([[3, 1, 4], [4, 3, 0]]),
    )


def prediction(of: Batch, seed: int = 1) -> Prediction:
    generator = torch.Generator().manual_seed(seed)
    truth, queried = ground_truth(of)

    def near(values: torch.Tensor, spread: float) -> torch.Tensor:
        return (values + spread * torch.randn(values.shape, generator=generator).to(values.dtype)).requires_grad_()

    poses = [near(torch.full((2, 3, 9), 0.5, dtype=of.depth.dtype), 0.1)]
    colour = of.target_views().images.movedim(2, -1)
    return Prediction(
        poses[-1],
        poses,
        near(truth.depth[..., None], 0.05),
        near(torch.full_like(truth.depth, 1.5), 0.05),
        near(truth.local_points, 0.05),
        nvs_pred=near(torch.cat([colour, queried.depth[..., None]], -1), 0.05),
        nvs_depth_conf=near(torch.full_like(queried.depth, 1.5), 0.05),
    )


def test_truth_is_normalised_by_all_views_and_split():
    of = batch()
    whole = normalise(of)
    truth, queried = ground_truth(of)
    torch.testing.assert_close(truth.depth, whole.depth[:, :3])
    torch.testing.assert_close(truth.world_to_cam, whole.world_to_cam[:, :3])
    for scene, targets in enumerate(of.targets):
        torch.testing.assert_close(queried.depth[scene], whole.depth[scene, targets])
        assert queried.images[scene].equal(of.images[scene, targets])
    plain = replace(of, input_count=None, targets=None)
    everything, nothing = ground_truth(plain)
    assert nothing is None
    assert everything.depth.equal(whole.depth)


def test_total_is_the_weighted_sum():
    of = batch()
    config = LossConfig(query_colour=7, query_squared_error=3, query_perceptual=0.5, query_depth=2)
    perceptual = PerceptualDistance(lpips_network(random_vgg(), Path("random")))
    said = prediction(of)
    terms = ReconstructionLoss(config, QueryLoss(config, perceptual))(said, *ground_truth(of))
    alone = ReconstructionLoss(config)(said, *ground_truth(of))
    assert terms["query_perceptual"] > 0
    colour = 3 * terms["query_squared_error"] + 0.5 * terms["query_perceptual"]
    torch.testing.assert_close(terms["query_colour"], colour)
    depth = sum(terms[f"query_depth_{name}"] for name in ("confidence", "regression", "gradient"))
    torch.testing.assert_close(terms["total"], alone["total"] + 7 * colour + 2 * depth)


def test_the_unit_of_the_prediction_does_not_matter():
    of = batch()
    said = prediction(of)
    larger = scale.rescale(said, torch.tensor([5.0, 0.2]))
    assert larger.nvs_pred[..., :3].equal(said.nvs_pred[..., :3])
    loss = ReconstructionLoss(WITHOUT_LPIPS, QueryLoss(WITHOUT_LPIPS))
    ours, theirs = loss(said, *ground_truth(of)), loss(larger, *ground_truth(of))
    for name, value in ours.items():
        assert theirs[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("views_without_depth", [slice(0, 0), slice(1, 3), slice(0, 3)])
def test_gradient_of_all_terms(views_without_depth):
    """Colours, depth and confidence of queried views against finite differences; pixels without truth have none."""
    of = batch(dtype=torch.float64)
    said = prediction(of)
    truth, queried = ground_truth(of)
    queried.mask[0, views_without_depth] = False
    loss = ReconstructionLoss(WITHOUT_LPIPS, QueryLoss(WITHOUT_LPIPS))

    def total(nvs_pred, confidence):
        return loss(replace(said, nvs_pred=nvs_pred, nvs_depth_conf=confidence), truth, queried)["total"]

    given = (said.nvs_pred.detach().requires_grad_(), said.nvs_depth_conf.detach().requires_grad_())
    assert torch.autograd.gradcheck(total, given, fast_mode=True)
    total(*given).backward()
    assert given[0].grad[0, views_without_depth, ..., 3].eq(0).all()
    assert given[0].grad[..., :3].abs().min() > 0


@pytest.mark.parametrize("mode", ["reference_view", "affine_invariant"])
def test_gradient_of_the_total_by_every_output(mode, monkeypatch):
    """The solver's factor carries no gradient, so it is held still; the mean distance of the points does."""
    of = batch(dtype=torch.float64)
    said = prediction(of)
    truth = ground_truth(of)
    monkeypatch.setattr(scale, "solve_point_scale", lambda *_: torch.ones(2, dtype=torch.float64))
    config = LossConfig(query_perceptual=0)
    loss = ReconstructionLoss(config, QueryLoss(config), mode == "reference_view")
    outputs = [
        value.detach().requires_grad_()
        for value in (
            said.pose_enc,
            said.depth,
            said.depth_conf,
            said.local_points,
            said.nvs_pred,
            said.nvs_depth_conf,
        )
    ]

    def total(pose, depth, confidence, points, queried, queried_confidence):
        moved = Prediction(pose, [0.9 * pose, pose], depth, confidence, points, None, queried, queried_confidence)
        return loss(moved, *truth)["total"]

    assert torch.autograd.gradcheck(total, outputs, fast_mode=True)


def test_views_without_depth_learn_colours_alone():
    of = batch()
    said = prediction(of)
    truth, queried = ground_truth(of)
    queried.mask[:] = False
    with torch.no_grad():
        said.nvs_pred[..., 3] = torch.nan
        said.nvs_depth_conf[:] = torch.inf
    terms = ReconstructionLoss(WITHOUT_LPIPS, QueryLoss(WITHOUT_LPIPS))(said, truth, queried)
    assert [terms[f"query_depth_{name}"].item() for name in ("confidence", "regression", "gradient")] == [0, 0, 0]
    terms["total"].backward()
    assert said.nvs_pred.grad.isfinite().all()
    assert said.nvs_pred.grad[..., :3].abs().sum() > 0
    assert said.nvs_depth_conf.grad.eq(0).all()


def test_colours_count_where_depth_is_unknown_and_one_view_fits_perfectly():
    of = batch()
    queried = QueryTruth(of.images[:, :1], of.depth[:, :1], of.mask[:, :1] & False)
    perfect = torch.cat([of.images[:, :1].movedim(2, -1), torch.ones(2, 1, HEIGHT, WIDTH, 1)], -1)
    terms = QueryLoss(WITHOUT_LPIPS)(replace(prediction(of), nvs_pred=perfect, nvs_depth_conf=perfect[..., 3]), queried)
    assert terms["query_colour"] == 0
    assert terms["query_psnr"] == torch.inf
    perfect[..., 0] += 0.1
    terms = QueryLoss(WITHOUT_LPIPS)(replace(prediction(of), nvs_pred=perfect, nvs_depth_conf=perfect[..., 3]), queried)
    assert terms["query_colour"].item() == pytest.approx(0.01 / 3, rel=1e-4)
    assert terms["query_psnr"].item() == pytest.approx(24.77, abs=0.01)


def test_lpips_runs_in_half_precision_and_the_rest_does_not():
    seen = []

    class Spy(PerceptualDistance):
        def forward(self, pictures: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
            return (pictures - others).abs().mean((1, 2, 3))

    config = LossConfig()
    loss = reconstruction.ReconstructionLoss(config, QueryLoss(config, Spy(torch.nn.Identity())))
    of = batch()
    with torch.autocast("cpu", torch.float16):
        terms = loss(prediction(of), *ground_truth(of))
    assert seen == [torch.bfloat16]
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_a_batch_without_queries_has_no_query_terms():
    of = replace(batch(), input_count=None, targets=None)
    truth, nothing = ground_truth(of)
    said = Prediction(
        torch.rand(2, 5, 9), [torch.rand(2, 5, 9)], truth.depth[..., None], 1 + truth.depth, truth.local_points
    )
    terms = ReconstructionLoss(WITHOUT_LPIPS, QueryLoss(WITHOUT_LPIPS))(said, truth, nothing)
    assert not any(name.startswith("query") for name in terms)


def truth_times(factor: float, of: Batch) -> Prediction:
    """What a model says that is right about every camera and pixel, in a unit of its own; built from the batch alone."""
    inputs, targets = of.inputs(), of.target_views()
    cameras = relative_to_first(of.world_to_cam)[:, : of.input_count].clone()
    cameras[..., 3] *= factor
    poses = encode_pose(cameras, inputs.intrinsics, HEIGHT, WIDTH)
    return Prediction(
        poses,
        [poses],
        factor * inputs.depth[..., None],
        torch.full_like(inputs.depth, 1.5),
        factor * unproject(inputs.depth, inputs.intrinsics),
        nvs_pred=torch.cat([targets.images.movedim(2, -1), factor * targets.depth[..., None]], -1),
        nvs_depth_conf=torch.full_like(targets.depth, 1.5),
    )


INPUT_VIEWS, TARGET_VIEWS, ALL_VIEWS = [0, 1, 2], [3, 4], [0, 1, 2, 3, 4]


@pytest.mark.parametrize("still", [[], [1, 2], ALL_VIEWS], ids=["moving", "inputs_still", "all_still"])
@pytest.mark.parametrize("in_second", [ALL_VIEWS, [], TARGET_VIEWS, INPUT_VIEWS, [1]], ids=str)
@pytest.mark.parametrize("in_first", [ALL_VIEWS, [], TARGET_VIEWS, INPUT_VIEWS, [1]], ids=str)
def test_the_truth_in_another_unit_has_no_loss_whichever_views_have_depth(in_first, in_second, still):
    """The cameras `still` of both scenes stand where the first one stands."""
    of = batch()
    of.world_to_cam[:, still] = of.world_to_cam[:, :1]
    for scene, views in enumerate((in_first, in_second)):
        of.mask[scene, [view for view in ALL_VIEWS if view not in views]] = False
    terms = ReconstructionLoss(WITHOUT_LPIPS, QueryLoss(WITHOUT_LPIPS))(truth_times(3.7, of), *ground_truth(of))
    errors = (
        "camera",
        "points",
        "depth_regression",
        "depth_gradient",
        "query_depth_regression",
        "query_depth_gradient",
    )
    for name in errors:
        assert terms[name].item() == pytest.approx(0, abs=2e-6), name


def test_a_wrong_translation_of_an_input_costs_in_a_scene_without_depth():
    of = batch()
    of.mask[:] = False
    said = truth_times(3.7, of)
    said.pose_enc[:, 2, 0] += 1
    terms = ReconstructionLoss(WITHOUT_LPIPS, QueryLoss(WITHOUT_LPIPS))(said, *ground_truth(of))
    assert terms["camera_translation"] > 0.01
