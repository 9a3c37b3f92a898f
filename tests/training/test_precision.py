"""A training step under bf16 autocast, as on a GPU: heads and losses stay in float32 and everything is finite."""

from pathlib import Path

import pytest
import torch

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.losses.normalisation import normalise
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import fit


def plane_in_front_of_moving_cameras() -> Batch:
    scenes, views, side = 2, 3, 28
    world_to_cam = torch.eye(4)[:3].repeat(scenes, views, 1, 1)
    world_to_cam[:, :, 0, 3] = -torch.arange(views) / 4
    intrinsics = torch.tensor([[30.0, 0, side / 2], [0, 30.0, side / 2], [0, 0, 1]]).repeat(scenes, views, 1, 1)
    depth = torch.full((scenes, views, side, side), 2.0)
    images = torch.rand(scenes, views, 3, side, side, generator=torch.Generator().manual_seed(0))
    frames = torch.arange(views).repeat(scenes, 1)
    names = ["room"] * scenes
    return Batch(
        images, depth, depth > 0, world_to_cam, intrinsics, torch.ones(scenes, dtype=torch.bool), names, names, frames
    )


def test_bfloat16_step_is_finite_and_close_to_float32() -> None:
    torch.manual_seed(0)
    config = compose(["model.embed_dim=48", "model.tokenizer.depth=1", "model.ttt.head_dim=16"])
    config.model.ttt.newton_schulz_dtype = "bfloat16"
    model, loss, batch = ZipMap(config.model), ReconstructionLoss(config.stage.loss), plane_in_front_of_moving_cameras()
    exact = loss(model(batch.images), normalise(batch))["total"]
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(batch.images)
        total = loss(prediction, normalise(batch))["total"]
    assert prediction.depth.dtype == prediction.pose_enc.dtype == total.dtype == torch.float32
    assert abs(float((total / exact).detach()) - 1) < 0.05
    total.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) > 50
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("chosen", [True, False])
def test_tf32_follows_its_setting_for_products_and_convolutions_and_is_on_as_published(
    chosen: bool, unwatched_run: list[str], tmp_path: Path
) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = not chosen
    settings = [*unwatched_run, "stage.steps=1", f"output={tmp_path}", *([] if chosen else ["trainer.tf32=false"])]
    try:
        fit(compose(settings))
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (chosen, chosen)
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
