"""A checkpoint folder is whole or not there, and says what is wrong with it."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from zipmap_pl.checkpoints.folder import (
    Manifest,
    find_checkpoint,
    latest_checkpoint,
    read_manifest,
    read_optimizer,
    read_weights,
    save_checkpoint,
)
from zipmap_pl.checkpoints.load import parse_model_config
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.5])}


def save(folder: Path, step: int) -> Path:
    manifest = Manifest(step, "demo", asdict(ModelConfig()), {"width": 56}, {"synthetic": "none"})
    return save_checkpoint(folder, manifest, WEIGHTS, {"counters": {"step": step}})


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    folder = save(tmp_path, 7)
    assert read_manifest(folder).step == 7
    assert all(torch.equal(read_weights(folder)[key], value) for key, value in WEIGHTS.items())
    assert read_optimizer(folder)["counters"] == {"step": 7}
    assert parse_model_config(read_manifest(folder).model, folder) == ModelConfig()


def test_the_newest_is_found_from_run_folder_pointer_or_names(tmp_path: Path) -> None:
    save(tmp_path / "checkpoints", 5)
    newest = save(tmp_path / "checkpoints", 10)
    assert find_checkpoint(tmp_path) == find_checkpoint(newest) == latest_checkpoint(tmp_path / "checkpoints") == newest
    (tmp_path / "checkpoints" / "latest").unlink()
    assert find_checkpoint(tmp_path) == newest


def test_a_folder_without_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    kept = save(tmp_path, 5)
    torn = save(tmp_path, 10)
    (torn / "manifest.json").unlink()
    assert latest_checkpoint(tmp_path) == kept


def test_saving_a_step_again_keeps_the_first(tmp_path: Path) -> None:
    before = (save(tmp_path, 5) / "weights.safetensors").stat().st_mtime_ns
    assert (save(tmp_path, 5) / "weights.safetensors").stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damage_is_named(tmp_path: Path, file: str, damage: str) -> None:
    folder = save(tmp_path, 5)
    data = bytearray((folder / file).read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data[:-1] if damage == "cut" else data)
    if damage == "remove":
        (folder / file).unlink()
    with pytest.raises(UserError, match=f"{file}: damaged"):
        read_manifest(folder)


def test_another_format_or_no_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(UserError, match="format 99"):
        read_manifest(folder)
    with pytest.raises(UserError, match="expected a checkpoint"):
        find_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"embed_dmi": 3}, "embed_dmi"), ({"depth": "many"}, "many"), ({"depth": "${oc.env:HOME}"}, "interpolation")],
)
def test_model_settings_from_a_file_are_checked(settings: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        parse_model_config(settings, tmp_path)
