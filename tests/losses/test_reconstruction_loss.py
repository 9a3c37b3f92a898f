"""The sum: units do not matter, bad scenes do not hurt, every head gets a gradient."""

from dataclasses import replace

import pytest
import torch

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.geometry.rigid import relative_to_first
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.normalisation import GroundTruth, mean_camera_distance
from zipmap_pl.losses.reconstruction import ReconstructionLoss

HEIGHT, WIDTH = 14, 16
MODES = ["reference_view", "affine_invariant"]


def scene_pair(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Prediction, GroundTruth]:
    """Two scenes of three views, and a prediction that is right up to noise and unit."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    y, x = torch.meshgrid(
        torch.linspace(0, 1, HEIGHT, dtype=dtype), torch.linspace(0, 1, WIDTH, dtype=dtype), indexing="ij"
    )
    depth = 1 + 0.05 * noise(2, 3, 1, 1) + 0.1 * x + 0.05 * y
    points = torch.stack([x * depth, y * depth, depth], dim=-1)
    rotation = torch.linalg.matrix_exp((skew := 0.2 * noise(2, 3, 3, 3)) - skew.transpose(-1, -2))
    world_to_cam = torch.cat([rotation, 0.3 * noise(2, 3, 3, 1)], dim=-1)
    intrinsics = torch.tensor([[20.0, 0, WIDTH / 2], [0, 20, HEIGHT / 2], [0, 0, 1]], dtype=dtype).repeat(2, 3, 1, 1)
    truth = GroundTruth(
        world_to_cam,
        intrinsics,
        depth,
        torch.ones_like(depth, dtype=torch.bool),
        points,
        torch.ones(2, dtype=torch.bool),
        torch.ones(2, dtype=dtype),
    )
    encoding = encode_pose(world_to_cam, intrinsics, HEIGHT, WIDTH)
    iterations = [(encoding + 0.05 * noise(2, 3, 9)).requires_grad_() for _ in range(2)]
    prediction = Prediction(
        iterations[-1],
        iterations,
        (depth + 0.03 * noise(2, 3, HEIGHT, WIDTH))[..., None].requires_grad_(),
        (1 + noise(2, 3, HEIGHT, WIDTH).exp()).requires_grad_(),
        (points + 0.01 * noise(2, 3, HEIGHT, WIDTH, 3)).requires_grad_(),
    )
    return prediction, truth


def leaves(prediction: Prediction) -> list[torch.Tensor]:
    return [*prediction.pose_enc_list, prediction.depth, prediction.depth_conf, prediction.local_points]


def without_depth(truth: GroundTruth, scenes: slice) -> GroundTruth:
    mask, depth, points = truth.mask.clone(), truth.depth.clone(), truth.local_points.clone()
    mask[scenes], depth[scenes], points[scenes] = False, 0, 0
    world_to_cam = truth.world_to_cam.clone()
    world_to_cam[scenes, ..., 3] *= 1e6
    return replace(truth, mask=mask, depth=depth, local_points=points, world_to_cam=world_to_cam)


@pytest.mark.parametrize("mode", MODES)
def test_the_unit_of_the_prediction_does_not_matter(mode):
    prediction, truth = scene_pair()
    factor = 37.0
    unit = torch.tensor([factor] * 3 + [1.0] * 6)
    scaled = replace(
        prediction,
        pose_enc_list=[pose_enc * unit for pose_enc in prediction.pose_enc_list],
        depth=prediction.depth * factor,
        local_points=prediction.local_points * factor,
    )
    loss = ReconstructionLoss(LossConfig(), reference_view=mode == "reference_view")
    ours, theirs = loss(prediction, truth), loss(scaled, truth)
    for name, value in ours.items():
        assert theirs[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("mode", MODES)
def test_total_is_the_weighted_sum(mode):
    prediction, truth = scene_pair()
    config = LossConfig(camera=7, points=2, normals=3, depth_confidence=4, depth_regression=5, depth_gradient=6)
    terms = ReconstructionLoss(config, reference_view=mode == "reference_view")(prediction, truth)
    expected = (
        7 * terms["camera"]
        + 2 * terms["points"]
        + 3 * terms["normals"]
        + 4 * terms["depth_confidence"]
        + 5 * terms["depth_regression"]
        + 6 * terms["depth_gradient"]
    )
    torch.testing.assert_close(terms["total"], expected)
    assert all(value.abs() > 0 for value in terms.values())


@pytest.mark.parametrize("mode", MODES)
def test_gradient_of_the_total(mode):
    """Depth and cameras against finite differences; the solver's factor depends on neither."""
    prediction, truth = scene_pair(dtype=torch.float64)
    crop = (slice(None), slice(None), slice(0, 11), slice(0, 10))
    truth = replace(truth, depth=truth.depth[crop], mask=truth.mask[crop], local_points=truth.local_points[crop])
    loss = ReconstructionLoss(LossConfig(), reference_view=mode == "reference_view")

    def total(depth_row, pose_enc):
        depth = torch.cat([depth_row, prediction.depth.detach()[crop][:, :, 1:]], dim=2)
        changed = Prediction(
            pose_enc, [pose_enc], depth, prediction.depth_conf.detach()[crop], prediction.local_points.detach()[crop]
        )
        return loss(changed, truth)["total"]

    row = prediction.depth.detach()[crop][:, :, :1].requires_grad_()
    assert torch.autograd.gradcheck(total, (row, prediction.pose_enc))


def test_gradient_of_the_own_scale():
    """Points carry gradient through their mean distance too: making all of them larger changes nothing."""
    prediction, truth = scene_pair(dtype=torch.float64)
    ReconstructionLoss(LossConfig())(prediction, truth)["total"].backward()
    # Not the camera alone: the derivative along "all lengths times (1 + t)" vanishes for the sum over all heads.
    along = (prediction.local_points.grad * prediction.local_points).sum() + (
        prediction.depth.grad * prediction.depth
    ).sum()
    for pose_enc in prediction.pose_enc_list:
        along = along + (pose_enc.grad * pose_enc)[..., :3].sum()
    assert along.item() == pytest.approx(0, abs=1e-6)
    assert prediction.local_points.grad.abs().sum() > 0


@pytest.mark.parametrize("mode", MODES)
def test_nothing_but_bad_scenes_gives_zero_gradients_everywhere(mode):
    prediction, truth = scene_pair()
    config = LossConfig(cameras_without_depth=False)
    terms = ReconstructionLoss(config, reference_view=mode == "reference_view")(
        prediction, without_depth(truth, slice(None))
    )
    assert {name: value.item() for name, value in terms.items()} == dict.fromkeys(terms, 0.0)
    terms["total"].backward()
    for leaf in leaves(prediction):
        assert leaf.grad is not None
        assert leaf.grad.eq(0).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_scene_changes_nothing_for_the_good_one(mode):
    prediction, truth = scene_pair()
    alone = replace(
        prediction,
        pose_enc_list=[pose_enc[1:] for pose_enc in prediction.pose_enc_list],
        pose_enc=prediction.pose_enc[1:],
        depth=prediction.depth[1:],
        depth_conf=prediction.depth_conf[1:],
        local_points=prediction.local_points[1:],
    )
    good = GroundTruth(*(getattr(truth, name)[1:] for name in GroundTruth.__dataclass_fields__))
    loss = ReconstructionLoss(LossConfig(cameras_without_depth=False), reference_view=mode == "reference_view")
    both = loss(prediction, without_depth(truth, slice(0, 1)))
    expected = loss(alone, good)
    for name, value in expected.items():
        if name in ("normals", "total"):  # the published normal loss also averages over the quads of the bad scene
            continue
        assert both[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert both["normals"].item() == pytest.approx(expected["normals"].item() / 2, rel=1e-5)
    both["total"].backward()
    for leaf in leaves(prediction):
        assert leaf.grad.isfinite().all()
        assert leaf.grad[0].eq(0).all()
        assert leaf.grad[1].abs().sum() > 0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_predictions_of_invalid_pixels_may_be_anything(bad):
    prediction, truth = scene_pair()
    truth.mask[:, :, :, 3] = False
    with torch.no_grad():
        for leaf in (prediction.depth, prediction.depth_conf, prediction.local_points):
            leaf[:, :, :, 3] = bad
    terms = ReconstructionLoss(LossConfig())(prediction, truth)
    assert terms["total"].isfinite()
    terms["total"].backward()
    for leaf in leaves(prediction):
        assert leaf.grad.isfinite().all()


def test_thresholds_of_valid_pixels():
    """49 valid pixels: no loss. 50: points and depth. More than 100 in view 0: cameras too."""
    prediction, truth = scene_pair()
    loss = ReconstructionLoss(LossConfig())
    seen = {}
    for count in (49, 50, 100, 101):
        mask = torch.zeros(2, 3, HEIGHT * WIDTH, dtype=torch.bool)
        mask[:, 0, :count] = True
        terms = loss(prediction, replace(truth, mask=mask.unflatten(-1, (HEIGHT, WIDTH))))
        seen[count] = terms["points"].item() > 0, terms["camera"].item() > 0
    assert seen == {49: (False, False), 50: (True, False), 100: (True, False), 101: (True, True)}


def test_scenes_with_poor_depth_have_no_normal_loss():
    prediction, truth = scene_pair()
    loss = ReconstructionLoss(LossConfig())
    both = loss(prediction, truth)["normals"]
    one = [
        loss(prediction, replace(truth, normals=torch.tensor(flags)))["normals"].item()
        for flags in ([True, False], [False, True])
    ]
    assert sum(one) / 2 == pytest.approx(both.item(), rel=1e-5)
    none = loss(prediction, replace(truth, normals=torch.zeros(2, dtype=torch.bool)))["normals"]
    assert none.item() == 0
    assert ReconstructionLoss(LossConfig(normals=0))(prediction, truth)["normals"].item() == 0


def without_any_depth(truth: GroundTruth, scene: int = 0) -> GroundTruth:
    """The truth of a scene as `normalise` gives it for a scene of which the cameras alone are known."""
    mask = truth.mask.clone()
    mask[scene] = False
    world_to_cam = relative_to_first(truth.world_to_cam)
    unit = mean_camera_distance(world_to_cam)[scene]
    world_to_cam[scene, :, :, 3] /= unit
    return replace(
        truth,
        mask=mask,
        depth=truth.depth.masked_fill(~mask, 0),
        local_points=truth.local_points.masked_fill(~mask[..., None], 0),
        world_to_cam=world_to_cam,
    )


@pytest.mark.parametrize("mode", MODES)
def test_scenes_without_depth_train_the_cameras_alone(mode):
    prediction, truth = scene_pair()
    truth = without_any_depth(truth)
    published = ReconstructionLoss(LossConfig(cameras_without_depth=False), reference_view=mode == "reference_view")(
        prediction, truth
    )
    loss = ReconstructionLoss(LossConfig(), reference_view=mode == "reference_view")
    terms = loss(prediction, truth)
    assert terms["camera"] != published["camera"]
    for name in ("points", "normals", "depth_confidence", "depth_regression", "depth_gradient"):
        assert terms[name] == published[name]
    terms["total"].backward()
    for leaf in leaves(prediction)[2:]:
        assert leaf.grad[0].eq(0).all()
        assert leaf.grad[1].abs().sum() > 0
    for pose_enc in prediction.pose_enc_list:
        assert pose_enc.grad[0].isfinite().all()
        assert pose_enc.grad[0].abs().sum() > 0
    larger = [pose_enc * torch.tensor([9.0] * 3 + [1.0] * 6) for pose_enc in prediction.pose_enc_list]
    alone = loss(prediction, without_depth_of_both(truth))
    rescaled = loss(replace(prediction, pose_enc_list=larger), without_depth_of_both(truth))
    for name, value in alone.items():
        assert rescaled[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name


def without_depth_of_both(truth: GroundTruth) -> GroundTruth:
    return without_any_depth(without_any_depth(truth, 0), 1)


@pytest.mark.parametrize("mode", MODES)
def test_gradient_of_cameras_without_depth(mode):
    prediction, truth = scene_pair(dtype=torch.float64)
    truth = without_depth_of_both(truth)
    loss = ReconstructionLoss(LossConfig(), reference_view=mode == "reference_view")

    def total(first, last):
        return loss(replace(prediction, pose_enc=last, pose_enc_list=[first, last]), truth)["total"]

    assert torch.autograd.gradcheck(total, tuple(value.detach().requires_grad_() for value in prediction.pose_enc_list))


def test_cameras_without_depth_that_do_not_move_train_nothing():
    prediction, truth = scene_pair()
    still = replace(without_depth_of_both(truth), scale=torch.full((2,), 1e-6))
    terms = ReconstructionLoss(LossConfig())(prediction, still)
    assert terms["total"] == 0


# Settings for what is inherited


def test_without_a_reference_view_any_view_may_let_a_scene_train_its_cameras():
    prediction, truth = scene_pair()
    mask = truth.mask.clone()
    mask[:, 0] = False  # the first view has no depth, as a view of a wall too near
    truth = replace(truth, mask=mask)

    def camera(reference_view: bool, **settings: bool) -> float:
        return ReconstructionLoss(LossConfig(**settings), reference_view=reference_view)(prediction, truth)[
            "camera"
        ].item()

    assert camera(False) == 0 and camera(False, camera_by_any_view=True) > 0
    assert camera(True, camera_by_any_view=True) == 0  # a reference view needs its depth


def test_depth_errors_can_be_dropped_and_averaged_scene_by_scene():
    prediction, truth = scene_pair()
    prediction = replace(prediction, depth=prediction.depth.detach() + torch.tensor([0.0, 0.5]).view(2, 1, 1, 1, 1))
    alone = [
        ReconstructionLoss(LossConfig())(*(part_of(each, scene) for each in (prediction, truth))) for scene in range(2)
    ]
    together = ReconstructionLoss(LossConfig(depth_by_scene=True))(prediction, truth)
    pooled = ReconstructionLoss(LossConfig())(prediction, truth)
    for name in ("depth_confidence", "depth_regression", "depth_gradient"):
        mean = (alone[0][name] + alone[1][name]) / 2
        torch.testing.assert_close(together[name], mean)
    assert pooled["depth_regression"] < together["depth_regression"]  # the large errors are all of one scene
    without = ReconstructionLoss(LossConfig(depth_by_scene=True))(prediction, without_depth(truth, slice(1, 2)))
    torch.testing.assert_close(without["depth_regression"], alone[0]["depth_regression"])


def part_of(record: Prediction | GroundTruth, scene: int):
    """A record of one scene of a batch."""
    one = slice(scene, scene + 1)
    parts = {
        name: [each[one] for each in value] if isinstance(value, list) else value[one]
        for name, value in vars(record).items()
        if value is not None
    }
    return replace(record, **parts)
