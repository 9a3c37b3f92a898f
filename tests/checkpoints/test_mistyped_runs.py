"""The name of a run that is not here is answered at once, from what is here; no local name goes to the hub."""

from pathlib import Path

import huggingface_hub
import pytest
import torch

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, save_checkpoint
from zipmap_pl.checkpoints.load import load_any
from zipmap_pl.checkpoints.published import from_published
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two runs, and a hub that must not be asked."""
    monkeypatch.chdir(tmp_path)
    for name in ("static", "dynamic"):
        manifest = Manifest(1, 0, name, ModelConfig(), SeenPictures(56, [1.0, 1.0], [2, 4]), {})
        save_checkpoint(tmp_path / "runs" / name / "checkpoints", manifest, {"a": torch.ones(1)}, {})
    (tmp_path / "runs" / "notes").mkdir()

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", asked)


READERS = {"reconstruct": lambda name: load_any(Path(name)), "init_from": lambda name: start_from(None, name)}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["runs/statik", "./runs/statik", "runs/statik/"])
def test_a_mistyped_run_is_told_with_those_that_are_there(reader: str, name: str) -> None:
    with pytest.raises(
        UserError, match=r"runs/statik: found no folder, expected a checkpoint .*; runs has static, dynamic$"
    ) as error:
        READERS[reader](name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["runs/statik/checkpoints", "runs/statik/checkpoints/step-00000001", "runs/notes/x"])
def test_a_name_below_a_folder_that_is_here_is_not_sent_to_the_hub(reader: str, name: str) -> None:
    with pytest.raises(UserError, match="found no folder"):
        READERS[reader](name)


@pytest.mark.parametrize("name", ["runs/statik", "runs/statik/x.bin", "runs/statik.pt"])
def test_nor_is_it_by_from_published(name: str) -> None:
    with pytest.raises(UserError, match="found no file"):
        from_published(name)
