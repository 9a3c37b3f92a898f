"""`zipmap doctor`: what it finds, what it calls broken, and what it keeps to itself."""

import getpass
import pwd
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import version
from pathlib import Path

import huggingface_hub
import pytest
import torch
from photos_and_model import untrained_checkpoint
from random_vgg import write_random_vgg

from zipmap_pl.cli.main import main
from zipmap_pl.doctor import examination, machine, self_test
from zipmap_pl.doctor.holdings import datasets, runs, weights
from zipmap_pl.doctor.machine import devices, memory
from zipmap_pl.doctor.section import Section
from zipmap_pl.doctor.text import report
from zipmap_pl.doctor.versions import versions
from zipmap_pl.errors import UserError
from zipmap_pl.losses.perceptual import default_vgg_path
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions

NEEDS = [
    "torch<2.15,>=2.11",
    "roma",
    'rerun-sdk; extra == "rerun"',
    'embreex; extra == "mesh"',
    'pytest; extra == "test"',
]
Room = namedtuple("Room", "total used free")


def value_of(section: Section, name: str) -> str:
    return dict(section.lines)[name]


def test_a_package_that_is_missing_or_too_new_is_broken_and_says_what_to_install() -> None:
    found = versions(NEEDS, {"torch": "2.15.0"}.get)
    assert found.broken == [
        "torch: found 2.15.0, expected <2.15,>=2.11; python -m pip install 'torch<2.15,>=2.11'",
        "roma: not installed, expected any version; python -m pip install 'roma'",
    ]


def test_extras_of_users_are_there_or_say_what_they_lack() -> None:
    found = versions(NEEDS, {"torch": "2.14.1+cu130", "roma": "1", "embreex": "4.4"}.get)
    assert not found.broken
    assert value_of(found, "extra mesh") == "embreex 4.4"
    assert value_of(found, "extra rerun") == "not installed (rerun-sdk)"
    assert "extra test" not in dict(found.lines)


def test_an_extra_of_another_package_is_looked_into() -> None:
    needs = ['fsspec[s3]; extra == "s3"']
    assert value_of(versions(needs, {"fsspec": "2026"}.get), "extra s3") == "not installed (s3fs)"


def test_a_gpu_that_the_driver_sees_and_torch_does_not_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 450.36, Tesla K80\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = devices()
    assert value_of(found, "NVIDIA driver") == "450.36, Tesla K80"
    assert "finds no GPU, the driver does (450.36, Tesla K80); install the torch build" in found.broken[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not devices().broken


def test_a_place_without_room_or_rights_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "not" / "yet"
    assert not memory({"hub cache": place}).broken
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Room(10**12, 10**12, 10**8))
    assert f"hub cache: {place} has 0.1 GB left; make room" in memory({"hub cache": place}).broken
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    assert f"hub cache: {tmp_path} cannot be written to" in memory({"hub cache": place}).broken[0]


def test_little_shared_memory_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Room(64 * 10**6, 0, 64 * 10**6))
    assert "--shm-size=8g" in value_of(memory({}), "shared memory")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole dataset in a folder for datasets, and one that was only planned."""
    folder = tmp_path_factory.mktemp("shards")
    options = SceneOptions(width=16, height=16, views=2)
    preprocess(SyntheticReader(options, 1, 1), folder / "group" / "rooms", EngineSettings(), workers=1)
    (folder / "begun" / "plan").mkdir(parents=True)
    return folder


def test_datasets_are_whole_or_not_complete(shards: Path) -> None:
    found = datasets(shards)
    assert value_of(found, "group/rooms") == "2 scenes, 4 frames, sizes as written"
    assert value_of(found, "begun").startswith("not complete: the same `zipmap preprocess` again")
    assert not found.broken
    assert datasets(shards / "nothing").lines == [("datasets", "none")]


@pytest.mark.parametrize("harmed", ["*/*.tar", "index/frame.intrinsics.npy"])
def test_a_dataset_that_was_cut_is_broken(shards: Path, tmp_path: Path, harmed: str) -> None:
    rooms = Path(shutil.copytree(shards / "group" / "rooms", tmp_path / "rooms"))
    file = next(rooms.glob(harmed))
    file.write_bytes(file.read_bytes()[:-8])
    found = datasets(tmp_path)
    assert value_of(found, "rooms") == "DAMAGED"
    assert f"`zipmap shards verify {rooms}`" in found.broken[0]


def test_runs_are_listed_with_their_step_and_damage(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    step = untrained_checkpoint(folder / "own").name
    for name, file in (("group/cut", "weights.safetensors"), ("unreadable", "manifest.json")):
        shutil.copytree(folder / "own", folder / name)
        harmed = folder / name / "checkpoints" / step / file
        harmed.write_bytes(harmed.read_bytes()[:-9])
    (folder / "new" / "checkpoints" / "damaged-step-00000001").mkdir(parents=True)
    found = runs(folder)
    assert value_of(found, "own") == "demo, step 1, complete, 1 checkpoints"
    assert value_of(found, "new") == "no checkpoint, 1 damaged set aside"
    assert value_of(found, "group/cut") == value_of(found, "unreadable") == "DAMAGED"
    assert [str(folder / "group" / "cut") in line for line in found.broken] == [True, False]
    assert "its run resumes from the one before" in found.broken[0]


def test_weights_that_are_not_here_have_a_command_and_damaged_ones_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = weights({"vggt": "facebook/VGGT-1B/none-such.safetensors"})
    assert value_of(found, "vggt") == "not here; `zipmap fetch vggt`"
    assert not found.broken
    default_vgg_path().parent.mkdir(parents=True)
    write_random_vgg(default_vgg_path())
    assert weights({}).broken == [f"{default_vgg_path()}: damaged; remove it, then `zipmap fetch lpips`"]


def test_the_self_test_gives_the_recorded_numbers_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test.tempfile, "tempdir", str(tmp_path))
    assert self_test.main("cpu") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["ttt_block.c_proj", "depth_head", "point_head", "frame_blocks.0.attn", "trunk"])
def test_the_self_test_notices_a_part_that_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    usual = self_test.made_up_weights

    def without(model: ZipMap) -> dict[str, torch.Tensor]:
        return {name: value * (part not in name) for name, value in usual(model).items()}

    monkeypatch.setattr(self_test, "made_up_weights", without)
    with pytest.raises(UserError, match=r"wrong result: .* expected"):
        self_test.run_on("cpu", tmp_path)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (["sh", "-c", "exec tail -f /dev/null"], "no answer within"),
        (["sh", "-c", "kill -SEGV $$"], "ended by signal 11"),
        (
            ["sh", "-c", "echo first >&2; echo UserError: wrong result >&2; exit 1"],
            "cuda:0: UserError: wrong result; set",
        ),
        (["sh", "-c", "exit 3"], "ended with status 3"),
    ],
)
def test_a_test_that_hangs_or_crashes_is_a_line_of_the_report(program: list[str], said: str) -> None:
    found = self_test.self_test(["cuda:0"], program, seconds=0.2 if "tail" in program[2] else 20)
    assert value_of(found, "cuda:0") == "FAILED"
    assert said in found.broken[0]


def test_a_device_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert self_test.main("cuda:77") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("UserError: --device cuda:77: not usable here")


def test_the_report_keeps_home_name_token_and_passwords_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/users/ada")
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_abc")
    section = Section("Title", [("a", "/users/ada/x"), ("b", "/tmp/torch_ada, 1 GB"), ("c", "http://u:p@host/hf_abc")])
    section.broken.append("/users/ada: full; /users/adams")
    text = report([section])
    assert "~/x" in text and "torch_<user>, 1 GB" in text and "http://<secret>@host/<token>" in text  # noqa: PT018
    assert text.endswith("Broken\n  ~: full; /users/adams")


def test_the_exit_status_says_whether_something_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = Section("Title")
    monkeypatch.setattr(examination, "examine", lambda *_: [section])
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("Nothing is broken.\n")
    section.broken.append("x: broken; buy a new one")
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("x: broken; buy a new one\n")


def test_a_package_that_cannot_be_imported_is_reported_with_the_versions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "zipmap_pl.doctor.examination", None)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert f"torch                      {version('torch')}" in shown
    assert "the package cannot be imported (" in shown


def test_a_user_without_name_and_home_gets_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number."""
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert report([Section("Title", [("a", "/x")])]) == f"Title\n  {'a':26} /x\n\nNothing is broken."


@pytest.mark.long
def test_the_whole_command_passes_here_within_its_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zipmap_pl.cli.main", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed in" in done.stdout
