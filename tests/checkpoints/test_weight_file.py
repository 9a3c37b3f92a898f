"""A file of weights is whole or not there."""

import pytest
import torch

from zipmap_pl.checkpoints.weight_file import write_weight_file


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
