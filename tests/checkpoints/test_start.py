"""The start of a stage: which tensors come along when heads change, and what the weights carry with them."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_weights import as_vggt, published_config

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, save_checkpoint
from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.checkpoints.published import PUBLISHED_TERMS, from_published, save_published
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import CameraHeadConfig
from zipmap_pl.models.zipmap import ZipMap


@pytest.fixture
def dynamic(tmp_path):
    """A run's folder with one checkpoint, and its model."""
    torch.manual_seed(0)
    model = ZipMap(published_config())
    pictures = SeenPictures(56, [1.0, 1.0], [2, 4])
    manifest = Manifest(5, 0, "dynamic", model.config, pictures, {"toy": "free"}, terms="not for sale")
    save_checkpoint(tmp_path / "checkpoints", manifest, model.state_dict(), {})
    return tmp_path, model


@pytest.mark.parametrize(
    ("changes", "fresh", "dropped"),
    [
        ({}, set(), set()),
        ({"reference_view": False}, set(), set()),
        ({"query_head": True}, {"nvs_head", "aggregator.ray_patch_embed", "aggregator.ray_cond_token"}, set()),
        ({"camera_head": CameraHeadConfig(kind="mlp")}, {"camera_mlp_head"}, {"camera_head"}),
    ],
)
def test_a_stage_takes_all_but_the_heads_that_change(changes, fresh, dropped, dynamic, caplog):
    folder, source = dynamic
    torch.manual_seed(1)
    model = ZipMap(published_config(**changes))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with caplog.at_level(logging.INFO):
        origin = start_from(model, str(folder))
    for key, tensor in model.state_dict().items():
        is_fresh = any(key.startswith(module) for module in fresh)
        assert torch.equal(tensor, before[key] if is_fresh else source.state_dict()[key]), key
    assert (origin.trained_on, model.terms) == ({"toy": "free"}, "not for sale")
    assert all(module in caplog.text for module in fresh | dropped)
    assert ("left fresh" in caplog.text) == bool(fresh)
    assert load_model(folder).model.terms == "not for sale"


def test_half_a_head_or_another_size_is_refused(dynamic):
    folder, source = dynamic
    config = published_config()
    deeper = replace(config, camera_head=replace(config.camera_head, trunk_depth=config.camera_head.trunk_depth + 1))
    with pytest.raises(UserError, match="of another shape"):
        start_from(ZipMap(published_config(heads=2)), str(folder))
    report = ZipMap(deeper)
    with pytest.raises(UserError, match=r"missing \(camera_head\.trunk"):
        start_from(report, str(folder))


def test_published_files_and_vggt_bring_their_terms(tmp_path):
    torch.manual_seed(0)
    source = ZipMap(published_config())
    save_published(source, tmp_path / "theirs.safetensors")
    model = ZipMap(published_config(query_head=True))
    start_from(model, str(tmp_path / "theirs.safetensors"))
    assert torch.equal(model.depth_head.norm.weight, source.depth_head.norm.weight)
    softmax = ZipMap(published_config(global_mixer="softmax"))
    torch.save({"model": as_vggt(softmax.state_dict())}, tmp_path / "vggt.pt")
    static = ZipMap(published_config())
    start_from(static, str(tmp_path / "vggt.pt"))
    qkv = softmax.state_dict()["aggregator.global_blocks.0.attn.qkv.weight"]
    assert torch.equal(static.state_dict()["aggregator.global_blocks.0.ttt_block.to_qkv.weight"], qkv)
    assert static.terms == PUBLISHED_TERMS


def test_a_run_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="no folder, expected a checkpoint"):
        start_from(ZipMap(published_config()), "/tmp/not_there")
    with pytest.raises(UserError, match="no such file|found no file|found no folder"):
        start_from(ZipMap(published_config()), str(Path("nothing.pt")))


KEY = "aggregator.camera_token"
NOT_WEIGHTS = {
    "int8": lambda tensor: tensor.to(torch.int8),
    "int64": lambda tensor: tensor.long(),
    "bool": lambda tensor: tensor > 0,
    "complex64": lambda tensor: tensor.to(torch.complex64),
    "complex128": lambda tensor: tensor.to(torch.complex128),
    "float8_e4m3fn": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "float8_e5m2": lambda tensor: tensor.to(torch.float8_e5m2),
    "sparse_coo": lambda tensor: tensor.to_sparse(),
    "sparse_csr": lambda tensor: tensor.flatten(0, -2).to_sparse_csr(),
    "qint8": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "no values": lambda tensor: tensor.to("meta"),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of sparse and quantized tensors
@pytest.mark.parametrize("kind", NOT_WEIGHTS)
def test_what_cannot_be_weights_is_refused_in_one_line_wherever_it_is_given(kind, weights, tmp_path):
    weights[KEY] = NOT_WEIGHTS[kind](weights[KEY])
    path = tmp_path / "x.pt"
    torch.save(weights, path)
    model = ZipMap(published_config())
    before = model.state_dict()[KEY].clone()
    for load in (lambda: start_from(model, str(path)), lambda: from_published(path, reference_view=True)):
        with pytest.raises(UserError, match=f"x.pt: {KEY} (is|has) .*{kind}.*, expected") as caught:
            load()
        assert "\n" not in str(caught.value)
    assert torch.equal(model.state_dict()[KEY], before)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_become_float32_wherever_they_are_given(kind, weights, tmp_path):
    narrow = {key: tensor.to(kind) for key, tensor in weights.items()}
    folder, path = saved(tmp_path / "run", narrow), tmp_path / "x.pt"
    torch.save(narrow, path)
    model = ZipMap(published_config())
    for source in (folder, path):
        start_from(model, str(source))
        assert torch.equal(model.state_dict()[KEY], narrow[KEY].float())
    for loaded in (load_model(folder).model, from_published(path, reference_view=True)):
        assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
        assert torch.equal(loaded.state_dict()[KEY], narrow[KEY].float())


@pytest.mark.parametrize("kind", [torch.complex64, torch.int8, torch.bool])
def test_a_checkpoint_folder_of_something_else_than_weights_is_refused(kind, weights, tmp_path):
    folder = saved(tmp_path, weights | {KEY: weights[KEY].to(kind)})
    for load in (lambda: load_model(folder), lambda: start_from(ZipMap(published_config()), str(folder))):
        with pytest.raises(UserError, match=f"{KEY} is {str(kind).removeprefix('torch.')}, expected a dense tensor of"):
            load()


def saved(folder, weights):
    """A run's folder with these weights."""
    manifest = Manifest(5, 0, "dynamic", published_config(), SeenPictures(56, [1.0, 1.0], [2, 4]), {})
    save_checkpoint(folder / "checkpoints", manifest, weights, {})
    return folder
