"""A whole run in seconds: what it leaves behind, going on after a kill, and steps whose numbers are not finite."""

import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zipmap_pl.checkpoints.folder import (
    SeenPictures,
    checkpoints_of,
    read_averages,
    read_manifest,
    read_optimizer,
    read_weights,
    save_checkpoint,
)
from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.errors import DamagedFile, UserError
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import FitResult, _restore, fit
from zipmap_pl.version import code_commit


@pytest.fixture(scope="module")
def whole_run(smallest_run: list[str], tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(compose([*smallest_run, f"output={tmp_path_factory.mktemp('runs') / 'whole'}"]))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_checkpoints_that_load(whole_run: FitResult) -> None:
    assert [path.name for path in sorted(whole_run.output.glob("checkpoints/step-*"))] == [
        "step-00000003",
        "step-00000006",
    ]
    manifest = read_manifest(whole_run.checkpoint)
    assert (manifest.step, manifest.stage) == (6, "demo")
    assert manifest.pictures == SeenPictures(56, [1.0, 1.0], [2, 4])
    assert list(manifest.trained_on) == ["synthetic"]
    assert manifest.commit == code_commit()
    assert manifest.validation is not None
    assert (manifest.validation.scenes, manifest.validation.step) == ("held-out", 6)
    assert manifest.validation.values == whole_run.after
    prediction = load_model(whole_run.output).model(torch.rand(2, 3, 56, 56))
    assert prediction.depth.shape == (1, 2, 56, 56, 1)


def test_a_run_changes_what_held_out_scenes_say(whole_run: FitResult) -> None:
    assert whole_run.before["depth_abs_rel_baseline"] == whole_run.after["depth_abs_rel_baseline"]
    assert whole_run.before["depth_abs_rel"] != whole_run.after["depth_abs_rel"]


def events_of(run: FitResult) -> EventAccumulator:
    events = EventAccumulator(str(run.output / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    return events


def test_tensorboard_holds_scalars_and_pictures(whole_run: FitResult) -> None:
    events = events_of(whole_run)
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
    assert [event.step for event in events.Scalars("validation/rotation_deg")] == [0, 3, 6]
    assert [event.step for event in events.Images("fixed scene")] == [0, 3, 6]


def test_a_killed_run_goes_on_bit_for_bit(whole_run: FitResult, smallest_run: list[str], tmp_path: Path) -> None:
    """What kill -9 after step 3 leaves, and the same command again."""
    shutil.copytree(whole_run.output, tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "step-00000006")
    (tmp_path / "killed" / "checkpoints" / "latest").unlink()
    resumed = fit(compose([*smallest_run, f"output={tmp_path / 'killed'}"]))
    assert resumed.steps == 6
    assert same(read_weights(resumed.checkpoint), read_weights(whole_run.checkpoint))
    assert [event.step for event in events_of(resumed).Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events_of(resumed).Images("fixed scene")] == [0, 3, 6]


def at_call(number: int, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `action` happen inside the loss of training step `number`, counted from 1."""
    calls = 0
    forward = ReconstructionLoss.forward

    def forward_and_act(self: ReconstructionLoss, *arguments: object) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        terms = forward(self, *arguments)
        answer = action() if calls == number else None
        return terms if answer is None else terms | {"total": terms["total"] * answer}

    monkeypatch.setattr(ReconstructionLoss, "forward", forward_and_act)


@pytest.mark.parametrize(("sent", "saved"), [(signal.SIGINT, 4), (signal.SIGTERM, 5)])
def test_a_stopped_run_saves_where_it_is_and_goes_on_bit_for_bit(
    sent: signal.Signals, saved: int, whole_run: FitResult, smallest_run: list[str], tmp_path: Path
) -> None:
    """Ctrl-C ends at once, before the step counts; SIGTERM lets it end."""
    config = compose([*smallest_run, f"output={tmp_path}"])
    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_call(5, lambda: signal.raise_signal(sent), patch)
        fit(config)
    signal.signal(signal.SIGINT, before)  # Lightning ignores it from the first one on
    assert read_manifest(checkpoints_of(tmp_path / "checkpoints")[-1]).step == saved
    resumed = fit(config)
    assert same(read_weights(resumed.checkpoint), read_weights(whole_run.checkpoint))
    assert [event.step for event in events_of(resumed).Scalars("validation/rotation_deg")] == [0, 3, 6]


def test_a_run_stopped_inside_an_update_falls_back_to_its_last_checkpoint(
    smallest_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = torch.optim.AdamW.step

    def stopped_after_two(self: torch.optim.AdamW, closure: object = None) -> None:
        step(self, closure)
        if all(state["step"] == 5 for state in self.state.values()):
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", stopped_after_two)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(compose([*smallest_run, f"output={tmp_path}"]))
    signal.signal(signal.SIGINT, before)
    assert [path.name for path in checkpoints_of(tmp_path / "checkpoints")] == ["step-00000003"]


def test_a_run_goes_on_with_the_settings_it_is_given_and_names_what_changed(
    whole_run: FitResult, smallest_run: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole_run.output, tmp_path / "run")
    changed = ["stage.optimizer.learning_rate=1e-30", "stage.optimizer.floor_learning_rate=0", "stage.steps=9"]
    with caplog.at_level(logging.INFO):
        longer = fit(compose([*smallest_run, f"output={tmp_path / 'run'}", *changed]))
    assert "stage.optimizer.learning_rate is 1e-30, was 0.0007" in caplog.text
    assert "stage.steps is 9, was 6" in caplog.text
    assert longer.steps == 9
    assert same(read_weights(longer.checkpoint), read_weights(whole_run.checkpoint))  # the new rate moves nothing
    steps = {state["step"].item() for state in read_optimizer(longer.checkpoint).values()}
    assert steps == {9.0}  # and the optimiser's memory went on


def spoil(path: Path) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def not_a_number(checkpoint: Path) -> None:
    """A checkpoint that is whole, of weights that are none."""
    weights = read_weights(checkpoint)
    next(iter(weights.values())).view(-1)[0] = float("nan")
    manifest, optimizer = read_manifest(checkpoint), read_optimizer(checkpoint)
    averages = read_averages(checkpoint)
    shutil.rmtree(checkpoint)
    save_checkpoint(checkpoint.parent, manifest, weights, dict(optimizer), averages=averages)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (lambda folder: os.truncate(folder / "weights.safetensors", 1000), "weights.safetensors: damaged"),
    "one bit": (lambda folder: spoil(folder / "optimizer.pt"), "optimizer.pt: damaged"),
    "lost": (lambda folder: (folder / "ema.safetensors").unlink(), "ema.safetensors: damaged, found nothing"),
    "manifest": (lambda folder: os.truncate(folder / "manifest.json", 100), "manifest.json: not readable"),
    "not a number": (not_a_number, "numbers that are not finite"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_told_and_the_one_before_gone_on_from(
    kind: str, whole_run: FitResult, smallest_run: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both damaged: that is for the user to say; so is anything about the one that is asked for by its path."""
    damage, told = DAMAGE[kind]
    output = tmp_path / "run"
    shutil.copytree(whole_run.output, output)
    old, new = checkpoints_of(output / "checkpoints")
    damage(new)
    config = compose([*smallest_run, f"output={output}"])
    start = compose([*smallest_run, f"output={tmp_path / 'other'}", f"init_from={new}"])
    if kind != "one bit" and kind != "lost":  # of what a start does not read
        with pytest.raises(DamagedFile, match=told):
            fit(start)
    if kind == "cut":
        resumed = fit(config)
        assert same(read_weights(resumed.checkpoint), read_weights(whole_run.checkpoint))
        assert sorted(path.name for path in old.parent.iterdir()) == [
            "damaged-" + new.name,
            "latest",
            old.name,
            new.name,
        ]
    else:
        model = ZipMap(config.model)
        resume, damaged = _restore(model, config, output)
        assert damaged == [new] and (resume.step, resume.checkpoint) == (3, old)
        assert same(model.state_dict(), read_weights(old))
    assert told in caplog.text and "the checkpoint before it is gone on from" in caplog.text
    for checkpoint in checkpoints_of(output / "checkpoints"):
        os.truncate(checkpoint / "optimizer.pt", 10)
    with pytest.raises(DamagedFile, match="optimizer.pt: damaged|" + told):
        fit(config)


def test_a_checkpoint_of_another_version_is_not_passed_over(
    whole_run: FitResult, smallest_run: list[str], tmp_path: Path
) -> None:
    shutil.copytree(whole_run.output, tmp_path / "run")
    manifest = checkpoints_of(tmp_path / "run" / "checkpoints")[-1] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(UserError, match="checkpoint format 99"):
        fit(compose([*smallest_run, f"output={tmp_path / 'run'}"]))


def test_too_many_steps_in_a_row_that_are_not_finite_end_the_run(
    smallest_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad step, a good one, then only bad ones."""
    forward, calls = ReconstructionLoss.forward, [0]

    def never_finite(self: ReconstructionLoss, *arguments: object) -> dict[str, torch.Tensor]:
        calls[0] += 1
        terms = forward(self, *arguments)
        return terms if calls[0] == 2 else terms | {"total": terms["total"] * float("nan")}

    monkeypatch.setattr(ReconstructionLoss, "forward", never_finite)
    settings = [*smallest_run, f"output={tmp_path}", "trainer.max_skipped=2", "trainer.checkpoint_every=1"]
    with pytest.raises(UserError, match=r"2 steps in a row were not finite, up to step 4; .*trainer.max_skipped"):
        fit(compose(settings))
    assert read_manifest(checkpoints_of(tmp_path / "checkpoints")[-1]).skipped == 2
    assert (calls[0], read_manifest(checkpoints_of(tmp_path / "checkpoints")[-1]).step) == (4, 3)


def test_a_finished_run_is_not_trained_again(whole_run: FitResult, smallest_run: list[str]) -> None:
    again = fit(compose([*smallest_run, f"output={whole_run.output}"]))
    assert again.checkpoint == whole_run.checkpoint
    assert again.after == pytest.approx(whole_run.after, nan_ok=True)


def test_an_output_folder_of_another_run_is_refused(whole_run: FitResult, smallest_run: list[str]) -> None:
    with pytest.raises(UserError, match="model.embed_dim 48, asked for 96"):
        fit(compose([*smallest_run, f"output={whole_run.output}", "model.embed_dim=96"]))


def test_a_step_that_is_not_finite_changes_nothing_and_counts(
    smallest_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_call(2, lambda: float("nan"), monkeypatch)
    run = fit(compose([*smallest_run, f"output={tmp_path}", "stage.steps=3", "trainer.checkpoint_every=1"]))
    first, second, third = (read_weights(tmp_path / "checkpoints" / f"step-0000000{step}") for step in (1, 2, 3))
    assert run.steps == 3
    assert read_manifest(run.checkpoint).skipped == 1
    assert same(first, second)
    assert not same(second, third)


def test_weights_can_be_the_start_of_another_run(whole_run: FitResult, smallest_run: list[str], tmp_path: Path) -> None:
    config = compose(
        [*smallest_run, f"output={tmp_path}", f"init_from={whole_run.output}", "stage.name=next", "stage.steps=1"]
    )
    assert fit(config).before == pytest.approx(whole_run.after, nan_ok=True)


def test_weights_of_another_model_are_refused(whole_run: FitResult, smallest_run: list[str], tmp_path: Path) -> None:
    other = [f"output={tmp_path}", f"init_from={whole_run.output}", "model.embed_dim=96"]
    with pytest.raises(UserError, match="do not fit the model"):
        fit(compose([*smallest_run, *other]))
    assert not list(tmp_path.iterdir())


def test_a_run_without_validation_data(smallest_run: list[str], tmp_path: Path) -> None:
    settings = [setting for setting in smallest_run if "data.validation" not in setting]
    run = fit(compose([*settings, "~data.validation.rooms", f"output={tmp_path}", "stage.steps=1"]))
    assert run.before == run.after == {}
    assert [event.step for event in events_of(run).Images("fixed scene (training scenes)")] == [0, 1]
    assert "fixed scene" not in events_of(run).Tags()["images"]


def test_figures_and_panels_of_training_scenes_are_not_called_held_out(
    smallest_run: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = fit(compose([*smallest_run, "data.validation.rooms.split=train", f"output={tmp_path}", "stage.steps=1"]))
    tags = events_of(run).Tags()
    assert "validation_on_training_scenes/rotation_deg" in tags["scalars"]
    assert not any(name.startswith(("validation/", "validation_ema/")) for name in tags["scalars"])
    assert tags["images"] == ["fixed scene (training scenes)"]
    assert "training scenes, rotation_deg: " in run.summary() and "held-out" not in run.summary()
    assert "these are training scenes, not held out" in caplog.text


def test_missing_shards_are_told_with_the_command(smallest_run: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="zipmap preprocess"):
        fit(compose([*smallest_run, f"output={tmp_path}", f"data.train.rooms.path={tmp_path / 'nothing'}"]))
