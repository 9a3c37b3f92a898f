"""Sizes, mixer and heads are recognised from keys and shapes, each on its own."""

import pytest
import torch
from published_models import golden, small_config, tiny_config
from published_weights import published_config

from zipmap_pl.checkpoints.recognition import model_config_of
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap


def on_meta(shapes):
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def state_dict_of(config):
    with torch.device("meta"):
        return ZipMap(config).state_dict()


def test_the_published_sizes():
    assert model_config_of(on_meta(golden("keys_full_size_affine.json"))) == ModelConfig()
    small = small_config(ttt=TTTConfig(head_dim=384))
    assert model_config_of(on_meta(golden("keys_small_reference_view.json"))) == small
    streaming = small_config(ttt=TTTConfig(head_dim=384), camera_head=CameraHeadConfig(kind="mlp"))
    assert model_config_of(on_meta(golden("keys_small_streaming.json"))) == streaming
    query = small_config(ttt=TTTConfig(head_dim=384), query_head=True)
    assert model_config_of(on_meta(golden("keys_small_state_query.json"))) == query
    softmax = model_config_of(on_meta(golden("keys_softmax_global_attention.json")))
    assert softmax == small_config(global_mixer="softmax", ttt=TTTConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"global_mixer": "softmax", "ttt": TTTConfig()},
        {"local_point_head": False},
        {"camera_head": CameraHeadConfig(kind="mlp")},
        {"query_head": True},
        {"query_head": True, "camera_head": CameraHeadConfig(kind="mlp"), "local_point_head": False},
        {"heads": 2},
        {"patch_size": 8},
        {"ttt": TTTConfig(head_dim=32, hidden_multiple=3, gate=False)},
        {"tokenizer": TokenizerConfig(depth=3, heads=2, registers=0, position_grid=5)},
        {"camera_head": CameraHeadConfig(trunk_depth=2)},
        {"dense_head": DenseHeadConfig(features=8, level_channels=[16, 8, 4, 12], hidden=4)},
        {"depth": 24, "feature_blocks": [4, 11, 17, 23]},
    ],
)
def test_each_part_on_its_own(changes):
    config = published_config(**changes)
    assert model_config_of(state_dict_of(config)) == config


def test_settings_answer_what_tensors_do_not_tell():
    config = tiny_config(feature_blocks=[0, 1, 2, 4], depth=5, reference_view=False, token_std=0.5)
    assert model_config_of(state_dict_of(config), settings=config) == config
    with pytest.raises(UserError, match="5 block pairs"):
        model_config_of(state_dict_of(config))
    with pytest.raises(UserError, match="96 channels and does not carry the settings"):
        model_config_of(state_dict_of(tiny_config()))


def test_tensors_win_over_settings():
    """So a file whose settings name a billion blocks cannot make us build them."""
    config = published_config()
    boastful = published_config(depth=10**9, feature_blocks=[0, 1, 2, 10**9 - 1])
    with pytest.raises(UserError, match="feature_blocks"):
        model_config_of(state_dict_of(config), settings=boastful)


@pytest.mark.parametrize("keys", ["keys_vggt3_small.json", "keys_vggt3_depth4.json"])
def test_other_models_are_told_apart(keys):
    with pytest.raises(UserError, match=r"none of the mixers .*\bsoftmax, .*\bttt\b"):
        model_config_of(on_meta(golden(keys)))


@pytest.mark.parametrize("key", ["aggregator.camera_token", "depth_head.projects.2.weight"])
def test_a_key_without_which_nothing_is_known_is_named(key):
    shapes = state_dict_of(published_config())
    del shapes[key]
    with pytest.raises(UserError, match=f"found no {key}"):
        model_config_of(shapes)
    with pytest.raises(UserError, match=f"{key} has shape"):
        model_config_of({**shapes, key: torch.empty(0)})
