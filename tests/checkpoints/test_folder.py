"""A checkpoint folder is whole or not there, and says what is wrong with it."""

import json
from pathlib import Path

import pytest
import torch

from zipmap_pl.checkpoints import folder as folders
from zipmap_pl.checkpoints.folder import (
    Manifest,
    SeenPictures,
    checkpoints_of,
    find_checkpoint,
    latest_checkpoint,
    read_manifest,
    read_optimizer,
    read_weights,
    save_checkpoint,
)
from zipmap_pl.checkpoints.parts import Parts, write_part
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.5])}
READERS = {"weights.safetensors": read_weights, "optimizer.pt": read_optimizer}


def save(folder: Path, step: int, keep: int = 0) -> Path:
    pictures = SeenPictures(56, [1.0, 1.0], [2, 4])
    manifest = Manifest(step, 1, "demo", ModelConfig(depth=25, feature_blocks=[0, 1, 2, 24]), pictures, {"a": "none"})
    return save_checkpoint(folder, manifest, WEIGHTS, {"a.weight": {"step": torch.tensor(step)}}, keep)


def change_manifest(checkpoint: Path, **values: object) -> None:
    path = checkpoint / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    folder = save(tmp_path, 7)
    manifest = read_manifest(folder)
    assert (manifest.step, manifest.skipped, manifest.trained_on) == (7, 1, {"a": "none"})
    assert manifest.model == ModelConfig(depth=25, feature_blocks=[0, 1, 2, 24])
    assert manifest.pictures == SeenPictures(56, [1.0, 1.0], [2, 4])
    assert all(torch.equal(read_weights(folder)[key], value) for key, value in WEIGHTS.items())
    assert read_optimizer(folder) == {"a.weight": {"step": torch.tensor(7)}}


def test_the_newest_is_found_from_run_folder_pointer_or_names(tmp_path: Path) -> None:
    save(tmp_path / "checkpoints", 5)
    newest = save(tmp_path / "checkpoints", 10)
    assert find_checkpoint(tmp_path) == find_checkpoint(newest) == latest_checkpoint(tmp_path / "checkpoints") == newest
    (tmp_path / "checkpoints" / "latest").unlink()
    assert find_checkpoint(tmp_path) == newest


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_of_latest_is_no_obstacle(tmp_path: Path, bit: int) -> None:
    """Also where it names another checkpoint: 22, 21 and 30 are one bit apart from 20."""
    for step in (10, 12, 15):
        save(tmp_path, step)
    newest = save(tmp_path, 20)
    whole = (tmp_path / "latest").read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        (tmp_path / "latest").write_bytes(flipped)
        assert latest_checkpoint(tmp_path) == newest, bytes(flipped)


def test_latest_of_an_earlier_version_has_no_checksum_and_is_followed(tmp_path: Path) -> None:
    older = save(tmp_path, 7)
    save(tmp_path, 10)
    (tmp_path / "latest").write_text("step-00000007\n")
    assert latest_checkpoint(tmp_path) == older


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"step-00000010\0", b"../elsewhere", b"/etc", b"a" * 5000, b"step-99999999"]
)
def test_what_is_no_name_of_a_checkpoint_in_latest_is_no_obstacle(tmp_path: Path, text: bytes) -> None:
    save(tmp_path, 7)
    newest = save(tmp_path, 10)
    (tmp_path / "latest").write_bytes(text)
    assert latest_checkpoint(tmp_path) == newest


def test_a_folder_without_manifest_is_no_checkpoint_and_can_be_saved_again(tmp_path: Path) -> None:
    kept = save(tmp_path, 5)
    torn = save(tmp_path, 10)
    (torn / "manifest.json").unlink()
    (tmp_path / ".step-00000010.partial").mkdir()
    (tmp_path / ".step-00000010.partial" / "half").touch()
    assert latest_checkpoint(tmp_path) == kept
    assert save(tmp_path, 10) == latest_checkpoint(tmp_path) == torn


def test_saving_a_step_again_keeps_the_first(tmp_path: Path) -> None:
    before = (save(tmp_path, 5) / "weights.safetensors").stat().st_mtime_ns
    assert (save(tmp_path, 5) / "weights.safetensors").stat().st_mtime_ns == before


def test_what_a_killed_save_left_goes_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".step-00000004.partial").mkdir()
    (tmp_path / ".step-00000004.partial" / "weights.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) is None
    save(tmp_path, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-00000005"]


def test_the_highest_steps_are_kept_and_the_new_one_always(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2)
    assert [path.name for path in checkpoints_of(tmp_path)] == ["step-00000003", "step-00000004"]
    newest = save(tmp_path, 2, keep=2)  # a run that was taken back to an earlier step
    assert newest in checkpoints_of(tmp_path)
    assert latest_checkpoint(tmp_path) == newest


def test_a_checkpoint_that_cannot_be_removed_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a network file system that keeps what somebody reads."""

    def refuse(path: Path) -> None:
        raise OSError(16, "Device or resource busy", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(folders.shutil, "rmtree", refuse)
        for step in (1, 2, 3):
            save(tmp_path, step, keep=1)
        assert latest_checkpoint(tmp_path) == tmp_path / "step-00000003"
    assert checkpoints_of(tmp_path) == [tmp_path / "step-00000003"]
    assert "step-00000001.partial: not removed ([Errno 16] Device or resource busy" in caplog.text
    save(tmp_path, 4, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-00000004"]


def test_a_checkpoint_that_cannot_be_renamed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old, rename = save(tmp_path, 1), Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == old:
            raise PermissionError(1, "Operation not permitted", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    newest = save(tmp_path, 2, keep=1)
    assert latest_checkpoint(tmp_path) == newest
    assert checkpoints_of(tmp_path) == [old, newest]
    assert "step-00000001: not removed" in caplog.text
    assert read_weights(old).keys() == WEIGHTS.keys()


def test_a_reader_has_the_whole_of_a_checkpoint_that_is_removed_meanwhile(tmp_path: Path) -> None:
    write_part(tmp_path / "part", WEIGHTS, first=True)
    opened = Parts([tmp_path / "part"])
    (tmp_path / "part").unlink()
    assert all(torch.equal(opened[name], tensor) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize("file", READERS)
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damage_is_named_when_the_file_is_read(tmp_path: Path, file: str, damage: str) -> None:
    folder = save(tmp_path, 5)
    data = bytearray((folder / file).read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data[:-1] if damage == "cut" else data)
    if damage == "remove":
        (folder / file).unlink()
    with pytest.raises(UserError, match=f"{file}: damaged"):
        READERS[file](folder)


def test_another_format_or_no_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    change_manifest(folder, format_version=99)
    with pytest.raises(UserError, match="format 99"):
        read_manifest(folder)
    with pytest.raises(UserError, match="expected a checkpoint"):
        find_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model": {"embed_dmi": 3}}, "embed_dmi"),
        ({"model": {"depth": "many"}}, "many"),
        ({"model": {"depth": 3}}, "feature_blocks"),
        ({"model": {"depth": "${oc.env:HOME}"}}, "interpolation"),
        ({"pictures": {"width": "wide"}}, "wide"),
        ({"weather": "sunny"}, "weather"),
        ({"step": None}, "step"),
    ],
)
def test_a_manifest_is_checked_like_any_file_from_outside(values: dict, told: str, tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    change_manifest(folder, **values)
    with pytest.raises(UserError, match=told):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"step": 3}'])
def test_an_unreadable_manifest_is_named(text: str, tmp_path: Path) -> None:
    (save(tmp_path, 5) / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="manifest.json: not readable"):
        read_manifest(tmp_path / "step-00000005")
