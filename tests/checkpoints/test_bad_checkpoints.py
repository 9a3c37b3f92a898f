"""Everything that is refused in a checkpoint folder, one line each; test_published_weights.py has published files."""

import hashlib
import json
import os
from dataclasses import replace

import pytest
import torch
from published_weights import published_config
from safetensors.torch import load_file, save_file

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, read_optimizer, save_checkpoint
from zipmap_pl.checkpoints.load import load_model, load_weights
from zipmap_pl.errors import UserError
from zipmap_pl.models.zipmap import ZipMap

KEY = "depth_head.projects.0.bias"


class Intruder:
    """What must never happen while loading."""

    def __reduce__(self):
        return os.mkdir, (os.environ["INTRUDER"],)


@pytest.fixture
def checkpoint(weights, tmp_path):
    manifest = Manifest(3, 0, "own", published_config(), SeenPictures(56, [1.0, 1.0], [2, 4]), {})
    return save_checkpoint(tmp_path / "checkpoints", manifest, weights, {})


def forge(checkpoint, name):
    """Let the manifest say of a file what the file is: a checksum tells of accidents, not of who wrote it."""
    data = (checkpoint / name).read_bytes()
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest))


def change_weights(checkpoint, change):
    path = checkpoint / "weights.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    forge(checkpoint, path.name)


def cut(checkpoint, name):
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def settings(checkpoint, **changes):
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["model"] |= changes
    path.write_text(json.dumps(manifest))


BAD = {
    "another model's tensors": (
        lambda folder: change_weights(folder, lambda weights: (weights.clear(), weights.update(a=torch.zeros(2)))),
        r"\d+ missing \(.*1 not known \(a\)",
    ),
    "a missing key": (
        lambda folder: change_weights(folder, lambda weights: weights.pop(KEY)),
        rf"1 missing \({KEY}\); use the model that it was trained with",
    ),
    "a surplus key": (
        lambda folder: change_weights(folder, lambda weights: weights.update(surplus=torch.zeros(1))),
        r"1 not known \(surplus\)",
    ),
    "another shape": (
        lambda folder: change_weights(folder, lambda weights: weights.update({KEY: torch.zeros(3)})),
        rf"1 of another shape \({KEY} \(3,\), expected \(8,\)\)",
    ),
    "settings of other layers": (
        lambda folder: settings(folder, depth=5, feature_blocks=[0, 1, 2, 4]),
        r"missing \(aggregator.frame_blocks.4.norm1.weight",
    ),
    "a truncated file": (
        lambda folder: cut(folder, "weights.safetensors"),
        "weights.safetensors: damaged, found .* bytes",
    ),
    "a truncated file that the manifest describes": (
        lambda folder: (cut(folder, "weights.safetensors"), forge(folder, "weights.safetensors")),
        "weights.safetensors: not readable as weights",
    ),
    "a truncated manifest": (lambda folder: cut(folder, "manifest.json"), "manifest.json: not readable"),
    "`_target_` in the settings": (lambda folder: settings(folder, _target_="os.system"), "manifest.json: .*_target_"),
    "an interpolation in the settings": (
        lambda folder: settings(folder, depth="${oc.env:HOME}"),
        "holds an interpolation",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), BAD.values(), ids=BAD)
def test_a_bad_checkpoint_is_one_line(spoil, words, checkpoint):
    assert load_model(checkpoint).manifest.step == 3
    spoil(checkpoint)
    with pytest.raises(UserError, match=words) as error:
        load_model(checkpoint)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(checkpoint))


def test_a_pickle_with_code_is_never_executed(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("INTRUDER", str(tmp_path / "executed"))
    torch.save({"state": Intruder()}, checkpoint / "optimizer.pt")
    forge(checkpoint, "optimizer.pt")
    with pytest.raises(UserError, match=r"optimizer.pt: found a pickle .* nothing of it was executed"):
        read_optimizer(checkpoint)
    assert not (tmp_path / "executed").exists()


def test_the_weights_of_another_model_change_nothing(checkpoint):
    torch.manual_seed(1)
    model = ZipMap(replace(published_config(), query_head=True))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"missing \(.*use the model that it was trained with"):
        load_weights(model, checkpoint)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
