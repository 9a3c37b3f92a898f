"""docs/extending.md, "A head", followed to the letter: a row, an activation and a field are a head everywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from pages import blocks_of
from photos_and_model import two_photos, untrained_checkpoint
from published_models import tiny_config
from torch import Tensor

from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.checkpoints.published import from_published, save_published
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.cli.main import main
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import CameraHeadConfig
from zipmap_pl.models.heads import activations, fields, table
from zipmap_pl.models.heads.table import DenseRow
from zipmap_pl.models.sequences.token_store import Storage
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

PUBLISHED_SIZES = [
    "model.embed_dim=64",
    "model.heads=4",
    "model.tokenizer={depth:1,heads:1}",
    "model.camera_head.heads=16",
]
ON = "model.extra_heads=[normal_head]"


@pytest.fixture(autouse=True)
def head_of_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page says to write into table.py, activations.py and prediction.py."""
    row, activation, field = blocks_of("A head", "python")
    monkeypatch.setattr(table, "DENSE_HEADS", (*table.DENSE_HEADS, eval(row, vars(table))))
    written: dict[str, Any] = {}
    exec(activation, vars(activations), written)
    monkeypatch.setattr(activations, "normals", written["normals"], raising=False)
    monkeypatch.setattr(fields, "Prediction", with_fields(field))


def with_fields(*lines: str) -> type[Prediction]:
    """Prediction with lines of code at its end."""
    names = {"dataclass": dataclass, "Prediction": Prediction, "Tensor": Tensor}
    exec("@dataclass\nclass More(Prediction):\n" + "".join(f"    {line.strip()}\n" for line in lines), names)
    return names["More"]


def model_with_normals(make_config, **changes) -> ZipMap:
    torch.manual_seed(0)
    return ZipMap(make_config(extra_heads=["normal_head"], **changes)).eval()


def test_a_call_fills_its_field() -> None:
    prediction = model_with_normals(tiny_config)(torch.rand(2, 3, 3, 28, 42))
    assert prediction.normals.shape == (2, 3, 28, 42, 3)
    torch.testing.assert_close(prediction.normals.norm(dim=-1), torch.ones(2, 3, 28, 42))


def test_a_loss_on_it_reaches_its_parameters() -> None:
    model = model_with_normals(tiny_config).train()
    model(torch.rand(1, 2, 3, 28, 28)).normals[..., 0].mean().backward()
    assert model.get_parameter("normal_head.norm.weight").grad.abs().sum() > 0


def test_the_setting_of_the_page_turns_it_on() -> None:
    (setting,) = blocks_of("A head", "yaml")
    assert OmegaConf.create(setting).model.extra_heads == compose([ON]).model.extra_heads


def test_nobody_else_has_it() -> None:
    torch.manual_seed(0)
    model = ZipMap(tiny_config()).eval()
    assert not [key for key in model.state_dict() if key.startswith("normal_head.")]
    assert model(torch.rand(1, 2, 3, 28, 28)).normals is None


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"reference_view": False, "camera_head": CameraHeadConfig(kind="mlp")}])
def test_views_in_chunks_have_those_of_one_pass(changes) -> None:
    """Kept in between on a model that looks at all views; one after another on one that streams."""
    model, images = model_with_normals(tiny_config, **changes), torch.rand(1, 5, 3, 28, 42)
    storage = Storage(dtype="float32")
    found = model(images, views_per_chunk=2, storage=None if changes else storage)
    torch.testing.assert_close(found.normals, model(images).normals, atol=1e-5, rtol=1e-4)


def test_a_file_of_it_is_recognized(tmp_path: Path) -> None:
    """By its tensors alone, too: another program's file carries no settings."""
    model = ZipMap(compose([*PUBLISHED_SIZES, ON]).model)
    save_published(model, tmp_path / "weights.safetensors")
    for source in (tmp_path / "weights.safetensors", model.state_dict()):
        loaded = from_published(source, reference_view=True)
        assert loaded.config.extra_heads == ["normal_head"]
        assert all(torch.equal(loaded.state_dict()[key], value) for key, value in model.state_dict().items())


def test_a_run_without_it_can_be_started_from(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(tmp_path)
    without = load_model(checkpoint).model
    model = ZipMap(load_model(untrained_checkpoint(tmp_path / "with", ON)).model.config)
    fresh = {key: value.clone() for key, value in model.state_dict().items() if key.startswith("normal_head.")}
    start_from(model, str(checkpoint))
    for key, value in model.state_dict().items():
        assert torch.equal(value, fresh[key] if key in fresh else without.state_dict()[key]), key


def test_photos_become_its_maps(tmp_path: Path) -> None:
    checkpoint, output = untrained_checkpoint(tmp_path, ON), tmp_path / "out"
    arguments = ("reconstruct", two_photos(tmp_path), "--checkpoint", checkpoint, "--output", output)
    assert main([str(word) for word in arguments]) == 0
    stored = [np.load(path) for path in sorted((output / "normals").iterdir())]
    assert [array.shape for array in stored] == [(56, 56, 3)] * 2
    assert np.allclose(np.linalg.norm(stored, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("named", [["normal_haed"], ["normal_head", "normal_head"], ["depth_head"]])
def test_a_name_that_is_not_in_the_table_or_comes_twice_is_refused(named) -> None:
    with pytest.raises(UserError, match=r"extra_heads=.*, expected some of .*normal_head, each once"):
        tiny_config(extra_heads=named)


def test_the_point_head_of_a_vggt_file_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of VGGT has it next to a head for tracks, which no row knows and which stays unused."""

    def world_points(raw: Tensor) -> tuple[Tensor, Tensor]:
        """[..., 4] -> points [..., 3], confidence [...] > 1."""
        return raw[..., :3].sign() * raw[..., :3].abs().expm1(), 1 + raw[..., 3].exp()

    row = DenseRow("point_head", 4, "world_points", ("world_points", "world_points_conf"))
    monkeypatch.setattr(table, "DENSE_HEADS", (*table.DENSE_HEADS, row))
    monkeypatch.setattr(activations, "world_points", world_points, raising=False)
    more = ("world_points: Tensor | None = None", "world_points_conf: Tensor | None = None")
    monkeypatch.setattr(fields, "Prediction", with_fields(*more))
    torch.manual_seed(0)
    vggt = ["model.global_mixer=softmax", "model.local_point_head=false", "model.extra_heads=[point_head]"]
    made = ZipMap(compose([*PUBLISHED_SIZES, *vggt]).model).eval()
    loaded = from_published({**made.state_dict(), "track_head.norm.weight": torch.zeros(1)})
    assert loaded.config.extra_heads == ["point_head"]
    images = torch.rand(1, 2, 3, 28, 28)
    assert loaded(images).world_points_conf.shape == (1, 2, 28, 28)
    assert torch.equal(loaded(images).world_points, made(images).world_points)
