"""A file of weights is whole or not there."""

import pytest
import torch

from zipmap_pl.checkpoints.weight_file import read_weight_file, write_weight_file
from zipmap_pl.errors import UserError


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.pt"
    write_weight_file(path, {"a": torch.ones(2)}, {})
    before = path.read_bytes()

    def disk_full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_weight_file(path, {"a": torch.zeros(2)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]
    assert path.read_bytes() == before


WEIGHTS = {"a.weight": torch.arange(4.0), "b": torch.ones(2, 3)}


@pytest.mark.parametrize("name", ["x.ckpt", "x.pt", "x.bin"])
@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "net", "my weights"])
def test_a_state_dict_under_any_name_beside_other_things_is_read(tmp_path, key, name):
    others = {"epoch": 3, "note": "x", "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "empty": {}}
    torch.save({**others, key: WEIGHTS}, tmp_path / name)
    found = read_weight_file(tmp_path / name).weights
    assert found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("prefix", ["model.", "module.", "model._orig_mod.", "model.module."])
def test_the_prefix_of_the_program_that_saved_it_is_left_out(tmp_path, prefix):
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in WEIGHTS.items()}}, tmp_path / "x.ckpt")
    assert read_weight_file(tmp_path / "x.ckpt").weights.keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"teacher": WEIGHTS, "student": WEIGHTS}, "found several state dicts .teacher, student."),
        ({"epoch": 3}, "entry 'epoch' is a value of type int"),
        ({"nested": {"deeper": WEIGHTS}}, "entry 'nested' is a dictionary with deeper"),
    ],
)
def test_what_holds_no_state_dict_or_several_is_named(tmp_path, content, words):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=words):
        read_weight_file(tmp_path / "x.ckpt")
