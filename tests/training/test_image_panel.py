"""The picture panel is drawn whatever the batch and the prediction hold: it must never end a training."""

import numpy as np
import pytest
import torch

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.training.watching.image_panel import image_panel, predicted_cloud, query_panel

VIEWS, SIDE = 3, 28


def batch() -> Batch:
    world_to_cam = torch.eye(4)[:3].repeat(1, VIEWS, 1, 1)
    world_to_cam[0, :, 0, 3] = torch.arange(VIEWS)
    intrinsics = torch.tensor([[20.0, 0, SIDE / 2], [0, 20.0, SIDE / 2], [0, 0, 1]]).repeat(1, VIEWS, 1, 1)
    depth = torch.linspace(1, 3, VIEWS * SIDE * SIDE).view(1, VIEWS, SIDE, SIDE)
    images = torch.rand(1, VIEWS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    frames = torch.arange(VIEWS)[None]
    return Batch(
        images, depth, depth > 0, world_to_cam, intrinsics, torch.ones(1, dtype=torch.bool), ["set"], ["room"], frames
    )


def prediction(scale: float) -> Prediction:
    """The truth of `batch` in another unit."""
    truth = batch()
    pose = torch.cat(
        [truth.world_to_cam[0, :, :, 3] * scale, torch.tensor([[0.0, 0, 0, 1, 1.2, 1.2]]).repeat(VIEWS, 1)], 1
    )
    depth = truth.depth[..., None] * scale
    return Prediction(pose[None], [pose[None]], depth, torch.ones_like(truth.depth), torch.zeros(1, 1))


def test_the_unit_of_the_prediction_does_not_show() -> None:
    pictures = [image_panel(batch(), prediction(scale), "title") for scale in (1.0, 8.0)]
    assert np.array_equal(*pictures)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 0.0])
def test_a_broken_prediction_is_drawn(broken: float) -> None:
    bad = prediction(1.0)
    bad.depth[:] = broken
    bad.pose_enc[:] = broken
    assert image_panel(batch(), bad, "title").dtype == np.uint8


def test_a_batch_without_depth_is_drawn() -> None:
    empty = batch()
    empty.depth[:] = 0
    empty.mask[:] = False
    assert not np.array_equal(image_panel(empty, prediction(1.0), ""), image_panel(batch(), prediction(1.0), ""))


def asked() -> Batch:
    """`batch` as a state-query batch: two inputs, the third view and the first are asked for."""
    truth = batch()
    truth.input_count, truth.targets = 2, torch.tensor([[2, 0]])
    return truth


def answered(colour_error: float) -> Prediction:
    targets, said = asked().target_views(), prediction(1.0)
    said.pose_enc, said.depth, said.depth_conf = said.pose_enc[:, :2], said.depth[:, :2], said.depth_conf[:, :2]
    pictures = (targets.images + colour_error).movedim(2, -1)
    said.nvs_pred, said.nvs_depth_conf = torch.cat([pictures, targets.depth[..., None]], -1), 1 + targets.depth
    return said


def test_queried_views_stand_beside_their_targets() -> None:
    pictures = [query_panel(asked(), answered(error), "title") for error in (0.0, 0.3)]
    assert not np.array_equal(*pictures)
    assert image_panel(asked(), answered(0.0), "title").shape[1] < image_panel(batch(), prediction(1.0), "").shape[1]
    assert query_panel(asked(), answered(torch.nan), "title").dtype == np.uint8


def test_the_cloud_lies_before_the_first_camera_and_leaves_out_what_is_not_finite() -> None:
    said = prediction(1.0)
    said.depth_conf = torch.rand(said.depth_conf.shape, generator=torch.Generator().manual_seed(0))
    points, colours = predicted_cloud(batch(), said)
    assert len(points) == len(colours) == pytest.approx(0.8 * VIEWS * SIDE * SIDE, abs=2)
    assert colours.dtype == torch.uint8
    assert (points[:, 2] < 0).all()  # viewers look along -z
    assert points.norm(dim=-1).median().item() == pytest.approx(1)
    said.depth[:, 0] = torch.nan
    assert predicted_cloud(batch(), said)[0].isfinite().all()
    said.depth[:] = torch.nan
    assert predicted_cloud(batch(), said)[0].shape == (0, 3)
