"""A whole run in seconds: what it leaves behind, going on after a kill, and steps whose numbers are not finite."""

import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zipmap_pl.checkpoints.folder import read_manifest, read_weights
from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.errors import UserError
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import FitResult, fit


@pytest.fixture(scope="module")
def whole_run(smallest_run: list[str], tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(compose([*smallest_run, f"output={tmp_path_factory.mktemp('runs') / 'whole'}"]))


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    return read_weights(checkpoint)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_checkpoints_that_load(whole_run: FitResult) -> None:
    assert [path.name for path in sorted(whole_run.output.glob("checkpoints/step-*"))] == [
        "step-00000003",
        "step-00000006",
    ]
    manifest = read_manifest(whole_run.checkpoint)
    assert (manifest.step, manifest.stage) == (6, "demo")
    assert manifest.data == {"width": 56, "aspect": [1.0, 1.0], "views": [2, 4]}
    assert list(manifest.trained_on) == ["synthetic"]
    prediction = load_model(whole_run.output).model(torch.rand(2, 3, 56, 56))
    assert prediction.depth.shape == (1, 2, 56, 56, 1)


def test_a_run_changes_what_held_out_scenes_say(whole_run: FitResult) -> None:
    assert whole_run.before["depth_abs_rel_baseline"] == whole_run.after["depth_abs_rel_baseline"]
    assert whole_run.before["depth_abs_rel"] != whole_run.after["depth_abs_rel"]


def test_tensorboard_holds_scalars_and_pictures(whole_run: FitResult) -> None:
    events = EventAccumulator(str(whole_run.output / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {
        "loss/total",
        "loss/camera_rotation",
        "gradient_norm/aggregator",
        "data/views",
        "data/faults",
        "steps/skipped",
    } <= scalars
    assert {"learning_rate/default", "speed/images_per_second", "validation/depth_abs_rel"} <= scalars
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("validation/rotation_deg")] == [0, 3, 6, 6]
    assert [event.step for event in events.Images("fixed scene")] == [0, 3, 6]


def test_a_killed_run_goes_on_bit_for_bit(whole_run: FitResult, smallest_run: list[str], tmp_path: Path) -> None:
    """What kill -9 after step 3 leaves, and the same command again."""
    shutil.copytree(whole_run.output, tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "step-00000006")
    (tmp_path / "killed" / "checkpoints" / "latest").unlink()
    resumed = fit(compose([*smallest_run, f"output={tmp_path / 'killed'}"]))
    assert resumed.steps == 6
    assert same(weights_of(resumed.checkpoint), weights_of(whole_run.checkpoint))


def test_a_finished_run_is_not_trained_again(whole_run: FitResult, smallest_run: list[str]) -> None:
    again = fit(compose([*smallest_run, f"output={whole_run.output}"]))
    assert again.checkpoint == whole_run.checkpoint
    assert again.after == pytest.approx(whole_run.after, nan_ok=True)


def test_an_output_folder_of_another_run_is_refused(whole_run: FitResult, smallest_run: list[str]) -> None:
    with pytest.raises(UserError, match="another model"):
        fit(compose([*smallest_run, f"output={whole_run.output}", "model.embed_dim=96"]))


def test_a_step_that_is_not_finite_changes_nothing_and_counts(
    smallest_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    forward = ReconstructionLoss.forward

    def broken_at_the_second_call(self: ReconstructionLoss, *arguments: object) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        terms = forward(self, *arguments)
        return terms | {"total": terms["total"] * float("nan")} if calls == 2 else terms

    monkeypatch.setattr(ReconstructionLoss, "forward", broken_at_the_second_call)
    run = fit(compose([*smallest_run, f"output={tmp_path}", "stage.steps=3", "trainer.checkpoint_every=1"]))
    first, second, third = (weights_of(tmp_path / "checkpoints" / f"step-0000000{step}") for step in (1, 2, 3))
    assert run.steps == 3
    assert same(first, second)
    assert not same(second, third)


def test_weights_can_be_the_start_of_another_run(whole_run: FitResult, smallest_run: list[str], tmp_path: Path) -> None:
    config = compose(
        [*smallest_run, f"output={tmp_path}", f"init_from={whole_run.output}", "stage.name=next", "stage.steps=1"]
    )
    assert fit(config).before == pytest.approx(whole_run.after, nan_ok=True)


def test_missing_shards_are_told_with_the_command(smallest_run: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="zipmap preprocess"):
        fit(compose([*smallest_run, f"output={tmp_path}", f"data.train.rooms.path={tmp_path / 'nothing'}"]))
