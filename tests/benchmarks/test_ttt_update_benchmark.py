"""The benchmark of the update runs, compares what it says, and can fail."""

import pytest
import torch
import ttt_update

from zipmap_pl.models.layers import token_chunks

TINY = ["--tokens", "600", "--dim", "16", "--rounds", "1"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(token_chunks, "TOKENS_AT_ONCE", 64)
    monkeypatch.setattr(ttt_update, "prepare_cpu", lambda: None)  # this process does other things, too


def cells(table):
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    return {row[0]: row[1:] for row in rows[1:]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="the sizes are those of a CPU")
def test_the_command(capsys):
    assert ttt_update.main(TINY) == 0
    rows = cells(capsys.readouterr().out)
    assert list(rows) == ["update", "update, checkpointed", "layer, checkpointed", "scene block, checkpointed"]
    assert all(float(row[5]) < 0.5 for row in rows.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="the sizes are those of a CPU")
def test_no_saving_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(ttt_update, "plain", ttt_update.nullcontext)
    assert ttt_update.main(TINY) == 1
    rows = cells(capsys.readouterr().out)
    assert all(row[5] == "1.00" and row[6] == "0.0e+00" for row in rows.values())


def test_the_table_says_what_was_measured():
    ours = ttt_update.Measured(0.5, 2**20, [torch.tensor([3.0, 4.4])])
    other = ttt_update.Measured(1.0, 2**22, [torch.tensor([3.0, 4.0])])
    assert cells(ttt_update.table({"update": [ours, other]}))["update"] == [
        "1.000",
        "0.500",
        "2.00",
        "4 MiB",
        "1 MiB",
        "0.25",
        "8.0e-02",
    ]
