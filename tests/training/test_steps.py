"""What an optimiser step is made of: micro-batches, averages beside the weights, the same bits every time."""

import logging
import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from zipmap_pl.checkpoints.folder import read_averages, read_weights
from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.contracts.batch import Batch
from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training import module as step_module
from zipmap_pl.training.config import OptimizerConfig, RunConfig, compose
from zipmap_pl.training.fit import FitResult, fit
from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.stages import accumulation_for, batch_line
from zipmap_pl.training.step.optimizer import clip_by_module


@pytest.fixture
def short(smallest_run: list[str]) -> list[str]:
    """A run of two steps without pictures and held-out scenes."""
    kept = [setting for setting in smallest_run if "data.validation" not in setting]
    return [*kept, "~data.validation.rooms", "stage.steps=2", "trainer.pictures_every=100"]


def scalars_of(run: FitResult) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run.output / "tensorboard"))
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if not name.startswith("speed")]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def test_the_same_command_twice_gives_the_same_bits(short: list[str], tmp_path: Path) -> None:
    one, other = (fit(compose([*short, "data.workers=1", f"output={tmp_path / name}"])) for name in "ab")
    found = scalars_of(one)
    assert {"loss/total", "gradient_norm/aggregator"} <= found.keys()
    assert found == scalars_of(other)


@pytest.mark.parametrize(
    ("images", "world", "micro"), [(None, 4, 1), (48, 1, 1), (3072, 1, 64), (3072, 8, 8), (50, 1, 2)]
)
def test_the_accumulation_reaches_the_global_batch(images: int | None, world: int, micro: int) -> None:
    config = RunConfig()
    config.trainer.global_images = images
    assert accumulation_for(config, world) == micro
    line = batch_line(config, world)
    assert f"{world} x {micro} x 48 = {world * micro * 48:,} images" in line
    assert "published: 64 x 48 = 3,072" in line


def test_micro_batches_add_up_to_the_mean_of_their_losses_and_go_on_after_a_kill(
    short: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    expected: list[Tensor] = []
    found: list[Tensor] = []
    step = ZipMapModule.training_step

    def record(self: ZipMapModule, batch: Batch, index: int) -> None:
        seen.append((batch.number, self.step))
        loss = self.loss(self.predict(batch), *ground_truth(batch))["total"]
        gradient = torch.autograd.grad(loss, self.model.camera_head.trunk_norm.weight)[0]
        expected.append(gradient)
        step(self, batch, index)

    def clip(model: nn.Module, config: OptimizerConfig) -> dict[str, Tensor]:
        found.append(model.camera_head.trunk_norm.weight.grad.clone())  # type: ignore[union-attr]
        return clip_by_module(model, config)

    settings = [*short, "trainer.global_images=20", "trainer.checkpoint_every=1"]
    with monkeypatch.context() as patch:
        patch.setattr(ZipMapModule, "training_step", record)
        patch.setattr(step_module, "clip_by_module", clip)
        run = fit(compose([*settings, f"output={tmp_path / 'whole'}"]))
    assert seen == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]
    for number in range(2):
        torch.testing.assert_close(found[number], torch.stack(expected[3 * number : 3 * number + 3]).mean(0))

    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "step-00000002")
    resumed = fit(compose([*settings, f"output={tmp_path / 'killed'}"]))
    weights = read_weights(run.checkpoint)
    assert all(torch.equal(weights[name], tensor) for name, tensor in read_weights(resumed.checkpoint).items())


def test_a_scene_that_is_never_finite_is_named(
    short: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        ReconstructionLoss,
        "forward",
        lambda self, prediction, *truth: {"total": prediction.depth.sum() * float("nan")},
    )
    settings = ["stage.steps=8", "data.images_per_gpu=2", "data.views=[2,2]", "trainer.checkpoint_every=100"]
    with caplog.at_level(logging.WARNING):
        run = fit(compose([*short, *settings, f"output={tmp_path}"]))
    assert "of synthetic is in a step that is not finite for the 2. time" in caplog.text
    torch.manual_seed(0)
    averages = read_averages(run.checkpoint)
    weights = read_weights(run.checkpoint)
    assert averages is not None
    assert all(torch.equal(weights[name], average) for name, average in averages.items())


def test_weights_and_averages_are_judged_and_kept_and_weights_start_the_next_stage(
    smallest_run: list[str], tmp_path: Path
) -> None:
    settings = ["stage.steps=3", "stage.ema.start_step=0", "stage.ema.decay=0.5", "trainer.pictures_every=100"]
    run = fit(compose([*smallest_run, *settings, f"output={tmp_path}"]))
    scalars = scalars_of(run)
    assert [step for step, _ in scalars["validation_ema/rotation_deg"]] == [3]
    assert scalars["validation_ema/rotation_deg"][-1] != scalars["validation/rotation_deg"][-1]
    weights, averages = read_weights(run.checkpoint), read_averages(run.checkpoint)
    assert averages is not None and averages.keys() <= weights.keys()
    assert not torch.equal(averages["camera_head.trunk_norm.weight"], weights["camera_head.trunk_norm.weight"])
    model = ZipMap(load_model(run.output).manifest.model)
    start_from(model, str(run.output))
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
