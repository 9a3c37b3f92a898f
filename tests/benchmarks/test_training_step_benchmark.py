"""The benchmark of the training step runs the real code, says where the time goes, and can fail."""

import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import loss_terms
import lpips
import model_flops
import pytest
import step_stages
import timed_step
import torch
import training_step
from torch.utils.flop_counter import FlopCounterMode

from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.perceptual import PerceptualDistance
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.mixers import fast_weight_operators, fast_weights
from zipmap_pl.models.mixers.fast_weights import FastWeights
from zipmap_pl.training.config import compose

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_NEEDED = ("hydra", "omegaconf", "webdataset", "albumentations", "lightning", "cv2", "scipy", "trimesh", "lpips")
CPU = torch.device("cpu")
TINY = ModelConfig(
    embed_dim=48,
    depth=4,
    heads=3,
    feature_blocks=[0, 1, 2, 3],
    checkpoint_activations=True,
    tokenizer=TokenizerConfig(depth=1, heads=3, registers=0, position_grid=4),
    ttt=TTTConfig(head_dim=16, newton_schulz_dtype="float32"),
    camera_head=CameraHeadConfig(trunk_depth=1, heads=3),
    dense_head=DenseHeadConfig(features=8, level_channels=[8, 8, 8, 8], hidden=8),
)


SMALL = replace(step_stages.SMALL, model=TINY, side=28)


@pytest.fixture
def small(monkeypatch):
    """The command measures a model that is tiny, and leaves the settings of this process alone."""
    monkeypatch.setattr(training_step, "prepare_cpu", lambda: None)
    monkeypatch.setattr(training_step, "SMALL", SMALL)


def tables(text):
    """The two tables: first cell of a row -> column -> cell."""
    found = []
    for part in text.split("\n\n"):
        lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
        if lines:
            head, _, *rows = lines
            found.append({row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows})
    return found


@pytest.mark.skipif(torch.cuda.is_available(), reason="the sizes are those of a CPU")
@pytest.mark.usefixtures("small")
def test_the_command(monkeypatch, capsys):
    monkeypatch.setattr(training_step, "LOSS_LIMIT", 1.0)
    assert training_step.main(["--rounds", "1"]) == 0
    steps, terms = tables(out := capsys.readouterr().out)
    assert list(steps) == list(step_stages.STAGES)
    for stage, row in steps.items():
        assert sum(float(row[part].rstrip("%")) for part in timed_step.PARTS) == pytest.approx(100, abs=1)
        assert float(row["images/s"]) == pytest.approx(int(row["images"]) / float(row["seconds"]), rel=0.02), stage
        assert float(row["peak GiB"]) > 0
    assert {name for name, row in terms.items() if row["static"] == "-"} == {
        name for name in loss_terms.TERMS if name.startswith("query")
    }
    assert all(row["state_query"] != "-" for row in terms.values())
    assert "Above 5% of a step: " in out


@pytest.mark.skipif(torch.cuda.is_available(), reason="the sizes are those of a CPU")
@pytest.mark.usefixtures("small")
def test_losses_that_take_too_long_are_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(training_step, "LOSS_LIMIT", 0.0)
    assert training_step.main(["--rounds", "1", "--stages", "static"]) == 1
    assert "static: the losses take" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["static", "affine_invariant", "state_query", "streaming_12"])
def test_the_stages_are_those_of_training(name):
    config = compose([f"stage={name}"])
    stage = step_stages.stage_of(name, step_stages.FULL)
    assert asdict(stage.model) == asdict(config.model)
    assert stage.loss == config.stage.loss
    assert config.data.views[0] <= stage.views <= config.data.views[1]
    assert stage.images <= config.data.images_per_gpu
    assert config.data.width == stage.side


def test_the_small_model_is_that_of_the_settings():
    assert asdict(step_stages.SMALL.model) == asdict(compose(["model=small"]).model)


@pytest.mark.parametrize("name", ["static", "state_query", "streaming_12"])
def test_the_cut_at_the_prediction_changes_no_gradient(monkeypatch, name):
    training = timed_step.Training(step_stages.stage_of(name, SMALL), CPU)
    monkeypatch.setattr(training, "_update", lambda total: None)
    training.step()
    cut = {key: p.grad.clone() for key, p in training.model.named_parameters() if p.grad is not None}
    training.model.zero_grad()
    batch = step_stages.to_device(training.batch, CPU)
    training.loss(training.predict(batch), *ground_truth(batch))["total"].backward()
    assert sum(gradient.abs().sum() for gradient in cut.values()) > 0
    for key, gradient in cut.items():
        found = training.model.get_parameter(key).grad
        torch.testing.assert_close(gradient, found, rtol=1e-4, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}")


def test_a_step_trains():
    training = timed_step.Training(step_stages.stage_of("static", SMALL), CPU)
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    training.step()
    training.step()
    assert any(not old.equal(new) for old, new in zip(before, training.model.parameters(), strict=True))
    averages = training.ema.averages.values()
    assert any(not old.equal(new) for old, new in zip(before, averages, strict=True))


def test_random_lpips_is_shaped_as_the_real_one():
    with torch.device("meta"):
        real = lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False, verbose=False)
        ours = timed_step.RandomVGG()
    shapes = [[tuple(p.shape) for p in module.parameters() if p.ndim == 4] for module in (ours.slices, real.net)]
    assert shapes[0] == shapes[1]
    one, other = torch.rand(2, 2, 3, 32, 48).unbind(0)
    distance = PerceptualDistance(timed_step.RandomVGG())
    assert distance(one, other).shape == (2,) and distance(one, other).min() > 0
    sizes = [level.shape[1:] for level in distance.network.net(one)]
    assert sizes == [(64, 32, 48), (128, 16, 24), (256, 8, 12), (512, 4, 6), (512, 2, 3)]


def test_flops_of_the_fast_weights_are_those_of_plain_autograd():
    """The operators hide their products from the counter, and compute some twice."""

    def draw(*shape):
        return torch.randn(*shape, requires_grad=True)

    def count(module):
        weights = FastWeights(draw(2, 8, 16), draw(2, 16, 8), draw(2, 8, 16))
        k, v, q = draw(2, 40, 8), draw(2, 40, 8), draw(2, 40, 8)
        rates = FastWeights(draw(2, 40, 1), draw(2, 40, 1), draw(2, 40, 1))
        with FlopCounterMode(display=False, custom_mapping=model_flops.FLOPS_OF_OUR_OPERATORS) as counter:
            directions = module.descent_directions(weights, k, v, rates)
            answers = module.apply(weights, q)
            (sum(d.square().sum() for d in directions) + answers.square().sum()).backward()
        return counter.get_total_flops()

    assert count(fast_weight_operators) == count(fast_weights) > 0


@pytest.mark.long
def test_flops_of_shapes_are_those_of_numbers():
    stage = step_stages.stage_of("static", SMALL)
    stage = replace(stage, views=2, model=replace(stage.model, checkpoint_activations=False))
    training = timed_step.Training(stage, CPU)
    batch = step_stages.to_device(training.batch, CPU)
    with FlopCounterMode(display=False, custom_mapping=model_flops.FLOPS_OF_OUR_OPERATORS) as counter:
        prediction = training.predict(batch)
        sum(tensor.sum() for tensor in timed_step.tensors_in(prediction)).backward()
    assert model_flops.model_flops(stage) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_an_operator_whose_flops_nobody_wrote_down_is_refused(monkeypatch):
    monkeypatch.delitem(model_flops.FLOPS_OF_OUR_OPERATORS, torch.ops.zipmap_pl.apply_fast_weights)
    with pytest.raises(NotImplementedError, match="write down its FLOPs"):
        model_flops.model_flops(step_stages.stage_of("static", SMALL))


def test_peak_flops_by_name():
    assert model_flops.peak_tflops("NVIDIA H100 80GB HBM3") == model_flops.peak_tflops("NVIDIA H200") == 989
    assert model_flops.peak_tflops("NVIDIA A100-SXM4-80GB") == 312
    assert model_flops.peak_tflops("one thread of some CPU") is None


def test_the_table_says_what_was_measured():
    stage = step_stages.stage_of("static", step_stages.FULL)
    parts = dict(zip(timed_step.PARTS, (0.0, 1.0, 0.2, 0.2, 2.4, 0.2), strict=True))
    slow = {part: 2 * seconds for part, seconds in parts.items()}
    found = training_step.Measured(stage, [slow, parts], {"points": 0.1, "normals": 0.3}, 2**31, 800 * 10**12)
    (row,) = tables(training_step.step_table([found], peak=400.0))[0].values()
    assert row["seconds"] == "4" and row["images/s"] == "12" and row["peak GiB"] == "2"
    assert row["losses in all"] == "10.0%" and row["share of peak FLOP/s"] == "50.0%"
    assert tables(training_step.term_table([found]))[0]["points"] == {"static": "2.5%"}
    assert training_step.large_terms([found]) == "Above 5% of a step: normals (static, 7.5%)."
    assert training_step.faults_of([found]) == ["static: the losses take 10.0% of a step, expected less than 10%"]
    assert "share of peak FLOP/s" not in training_step.step_table([found], peak=None)


@pytest.mark.long
def test_it_needs_no_settings_loader_or_lpips():
    """A machine with a GPU may have torch, numpy, timm, roma and safetensors only."""
    blocked = f"import sys, runpy; sys.modules.update(dict.fromkeys({NOT_NEEDED}))"
    run = f"{blocked}; runpy.run_path({str(CHECKOUT / 'benchmarks' / 'training_step.py')!r}, run_name='imported')"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "benchmarks")}
    ran = subprocess.run([sys.executable, "-c", run], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
