"""Models with the parameters of the golden files, and the tiny size of the demo."""

import json
import zlib
from dataclasses import replace

import numpy as np
import torch
from shared_files import golden_path

from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.mixers.kinds import ttt
from zipmap_pl.models.zipmap import ZipMap


def golden(name):
    """Reads a golden file: arrays of an .npz, keys and shapes of a .json."""
    path = golden_path(name)
    if path.suffix == ".json":
        return {key: tuple(shape) for key, shape in json.loads(path.read_text()).items()}
    with np.load(path) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if arrays[key].dtype.kind == "f"}


def golden_model(config):
    """Builds a model whose parameters follow the rule of the golden files; nothing is built without those files."""
    golden("keys_small_reference_view.json")
    with torch.device("meta"):
        model = ZipMap(config)
    parameters = {key: golden_parameter(key, tuple(value.shape)) for key, value in model.state_dict().items()}
    model.load_state_dict(parameters, assign=True)
    return model.eval()


def golden_parameter(key, shape):
    """The parameter rule: a function of key and shape alone."""
    x = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf in ("w0", "w1", "w2"):
        x *= np.sqrt(2 / shape[1])
    elif leaf == "gamma":
        x = 0.2 + 0.05 * x
    elif len(shape) == 1:
        x = 1 + 0.1 * x if leaf == "weight" else 0.05 * x
    elif "token" in leaf:
        x *= 0.5
    elif leaf == "pos_embed":
        x *= 0.1
    else:
        x /= np.sqrt(np.prod(shape[1:]))
    if key.endswith(("pose_branch.fc2.bias", "camera_mlp_head.mlp.fc2.bias")):
        x = x + 0.7
    return torch.from_numpy(x.astype(np.float32))


def small_config(**changes):
    """The size of the small golden files: DINOv2 ViT-S/14, 24 block pairs of width 384, one fast-weight head."""
    settings = {
        "embed_dim": 384,
        "heads": 6,
        "tokenizer": TokenizerConfig(depth=12, heads=6),
        "ttt": TTTConfig(head_dim=384, newton_schulz_dtype="float32"),
    }
    return ModelConfig(**{**settings, **changes})


def tiny_config(**changes):
    """The size of the demo, by the config alone."""
    settings = {
        "embed_dim": 96,
        "depth": 4,
        "heads": 3,
        "feature_blocks": [0, 1, 2, 3],
        "layer_scale": 0.2,
        "token_std": 0.3,
        "tokenizer": TokenizerConfig(depth=2, heads=3, registers=0, position_grid=4),
        "ttt": TTTConfig(head_dim=32, newton_schulz_dtype="float32"),
        "camera_head": CameraHeadConfig(trunk_depth=1, heads=3, layer_scale=0.2),
        "dense_head": DenseHeadConfig(features=16, level_channels=[16, 24, 32, 32], hidden=16, views_per_chunk=16),
    }
    return ModelConfig(**{**settings, **changes})


def set_newton_schulz_dtype(model, dtype):
    for module in model.modules():
        if isinstance(module, ttt.Mixer):
            module.config = replace(module.config, newton_schulz_dtype=str(dtype).removeprefix("torch."))


def relative_error(found, expected):
    return float((found.double() - expected.double()).norm() / expected.double().norm())
