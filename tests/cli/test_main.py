"""The command as a user types it: help, mistakes told in one line, exit statuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from photos_and_model import two_photos

from zipmap_pl.cli.main import COMMANDS, EXIT_NOBODY_READS, main

CHECKOUT = Path(__file__).resolve().parents[2]


def run_and_read(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(list(arguments))
    return status, capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["stage.stps=3"], "no key stage.stps; did you mean stage.steps?"),
        (["model=tny"], "model is tny, expected one of small, tiny"),
        (["stage.steps=abc"], "stage.steps is abc, expected a whole number"),
        (["data.train.rooms.wieght=3"], "did you mean data.train.rooms.weight?"),
        (["data.views=[2,90]"], "images_per_gpu"),
        (["--config-dir", "no/such/folder"], "no/such/folder"),
        (["+stage.stps=3"], "no key stage.stps; did you mean stage.steps?"),
        (["=3"], "settings:"),
        (["stage.steps=0"], "stage.steps is 0, expected 1 or more"),
        (["trainer.log_every=0"], "trainer.log_every is 0"),
        (["trainer.precision=fp8"], "trainer.precision is 'fp8', expected one of auto, bf16-mixed, 32-true"),
        (["stage.optimizer.betas=[0.9]"], "optimizer.betas is [0.9], expected two numbers"),
        (["stage.optimizer.warmup_share=1"], "warmup_share is 1.0"),
        (["stage.optimizer.learning_rate=-1"], "learning_rate is -1.0, expected a positive number"),
        (["model.depth=3"], "feature_blocks"),
        (["data.views=3"], "data.views is 3, expected a list"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(
    overrides: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = run_and_read(capsys, "fit", *overrides)
    assert status == 2
    assert message.count("\n") == 1
    assert told in message


def test_own_settings_by_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "mine.yaml").write_text("name: mine\nsteps: 7\n")
    assert main(["fit", "--config-dir", str(tmp_path), "stage=mine", "--show"]) == 0
    assert "name: mine\n  steps: 7" in capsys.readouterr().out
    (tmp_path / "stage" / "mine.yaml").write_text("name: mine\nstpes: 7\n")
    status, message = run_and_read(capsys, "fit", "--config-dir", str(tmp_path), "stage=mine")
    assert status == 2
    assert "stpes" in message


@pytest.mark.parametrize("text", ["name: [\n", "a: b: c\n", "name: ${oc.env:NO_SUCH}\n", "\x00", "steps: many\n"])
def test_own_settings_that_are_no_settings(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "mine.yaml").write_text(text)
    status, message = run_and_read(capsys, "fit", "--config-dir", str(tmp_path), "stage=mine")
    assert status == 2
    assert message.startswith("zipmap: settings:")
    assert message.count("\n") == 1


def test_a_gpu_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    shards = tmp_path / "rooms"
    main(["preprocess", "synthetic", "--scenes=2", "--views=4", "--workers=1", f"--output={shards}"])
    capsys.readouterr()
    settings = [f"data.train.rooms.path={shards}", "~data.validation.rooms", "prepare=[]", f"output={tmp_path / 'run'}"]
    status, message = run_and_read(capsys, "fit", *settings, "trainer.accelerator=gpu")
    assert status == 2
    assert "trainer.devices=1 on accelerator=gpu: found 0 CUDA GPUs" in message
    assert not (tmp_path / "run").exists()


def test_the_demo_is_about_its_own_data(capsys: pytest.CaptureFixture[str]) -> None:
    status, message = run_and_read(capsys, "demo", "stage=own")
    assert status == 2
    assert message == "zipmap: demo: shows generated rooms, expected data=demo; for other data use `zipmap fit`\n"


def test_what_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, message = run_and_read(capsys, "preprocess", "synthetic", "--scenes=1", "--output=/proc/none")
    assert status == 2
    assert message.splitlines()[-1].startswith("zipmap: /proc/none")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """`zipmap shards info ... | head`."""
    rooms = ["synthetic", "--scenes", "30", "--heldout", "0", "--views", "2", "--size", "14x14", "--workers", "1"]
    assert main(["preprocess", *rooms, "--output", str(tmp_path / "rooms")]) == 0
    command = [sys.executable, "-m", "zipmap_pl.cli.main", "shards", "info", str(tmp_path / "rooms")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == EXIT_NOBODY_READS


def test_train_py_is_fit() -> None:
    shown = subprocess.run(
        [sys.executable, "train.py", "--show", "stage.steps=12"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "steps: 12" in shown.stdout


def test_reconstruct_refuses_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--checkpoint", str(tmp_path / "none"), "--output", str(tmp_path / "out")]
    status, message = run_and_read(capsys, "reconstruct", str(tmp_path), *run)
    assert status == 2
    assert "found no photos" in message  # which are looked at first
    photos = str(two_photos(tmp_path))
    status, message = run_and_read(capsys, "reconstruct", photos, *run)
    assert status == 2
    assert "expected a checkpoint" in message
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    status, message = run_and_read(
        capsys, "reconstruct", str(tmp_path), "--checkpoint", str(tmp_path), "--output", str(tmp_path / "full")
    )
    assert status == 2
    assert "not empty" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [([], "COMMAND"), (["prepocess"], "'prepocess'"), (["shards"], "required"), (["reconstruct"], "IMAGES_OR_VIDEO")],
)
def test_words_that_are_missing_or_wrong_are_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = run_and_read(capsys, *words)
    assert status == 2
    assert message.count("\n") == 1
    assert told in message
    assert "--help" in message
