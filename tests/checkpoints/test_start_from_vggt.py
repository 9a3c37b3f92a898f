"""Stage 1 starts from VGGT-1B: every tensor is accounted for."""

import pytest
import torch
from published_weights import as_vggt, published_config

from zipmap_pl.checkpoints.vggt import start_from_vggt
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.zipmap import ZipMap


@pytest.fixture
def vggt():
    torch.manual_seed(1)
    return as_vggt(ZipMap(published_config(global_mixer="softmax")).state_dict())


@pytest.fixture
def model():
    torch.manual_seed(2)
    return ZipMap(published_config())


def test_the_full_size_has_the_published_counts():
    with torch.device("meta"):
        vggt = as_vggt(ZipMap(ModelConfig(global_mixer="softmax")).state_dict())
        model = ZipMap(ModelConfig())
    assert len(vggt) == 1797
    report = start_from_vggt(model, vggt)
    assert (len(report.copied), len(report.remapped), len(report.fresh)) == (1149, 96, 254)
    assert len(report.dropped) == 96 + 62 + 394
    assert str(report).startswith("1149 tensors copied, 96 remapped")


def test_every_tensor_is_copied_remapped_or_as_it_was(vggt, model, caplog):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = start_from_vggt(model, vggt)
    after = model.state_dict()
    assert set(report.copied) | set(report.remapped) | set(report.fresh) == after.keys()
    assert all(torch.equal(after[key], vggt[key]) for key in report.copied)
    assert all(torch.equal(after[key], vggt[source]) for key, source in report.remapped.items())
    assert all(torch.equal(after[key], before[key]) for key in report.fresh)
    block = "aggregator.global_blocks.2."
    assert report.remapped[f"{block}ttt_block.to_qkv.weight"] == f"{block}attn.qkv.weight"
    assert report.remapped[f"{block}ttt_block.c_proj.bias"] == f"{block}attn.proj.bias"
    assert f"{block}ttt_block.gate_fn.0.bias" in report.fresh
    assert "CC BY-NC 4.0" in caplog.text
    assert "CC BY-NC 4.0" in model.terms


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("aggregator.global_blocks.1.attn.qkv.weight", "1 missing"),
        ("aggregator.frame_blocks.0.norm1.bias", "1 missing"),
        ("camera_head.trunk.0.attn.qkv.bias", "1 missing"),
    ],
)
def test_anything_else_missing_changes_nothing(key, told, vggt, model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    del vggt[key]
    with pytest.raises(UserError, match=told):
        start_from_vggt(model, vggt)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_anything_else_not_known_or_of_another_shape_is_an_error(vggt, model):
    with pytest.raises(UserError, match=r"1 not known \(surprise\)"):
        start_from_vggt(model, {**vggt, "surprise": torch.zeros(1)})
    with pytest.raises(UserError, match="of another shape"):
        start_from_vggt(ZipMap(published_config(heads=2)), vggt)
