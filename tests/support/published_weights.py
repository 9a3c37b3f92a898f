"""Weights in the published layout: of the golden files, and of a model small enough to write many times."""

import functools

import torch
from published_models import golden, golden_parameter

from zipmap_pl.models.config import DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig

_parameter = functools.cache(golden_parameter)


def golden_weights(keys):
    """The state dict that a key list means, as somebody else's file would hold it. Its tensors are shared: only read them."""
    return {key: _parameter(key, shape) for key, shape in golden(keys).items()}


def published_config(**changes):
    """As small as a model in the published form can be: its tensors tell all its sizes."""
    settings = {
        "embed_dim": 128,
        "depth": 4,
        "heads": 4,
        "feature_blocks": [0, 1, 2, 3],
        "tokenizer": TokenizerConfig(depth=1, heads=2, position_grid=2),
        "ttt": TTTConfig(head_dim=128),
        "dense_head": DenseHeadConfig(features=16, level_channels=[8, 16, 24, 32], hidden=8),
    }
    return ModelConfig(**{**settings, **changes})


def as_vggt(softmax):
    """VGGT's state dict, from that of a softmax model: without local points, with heads that ZipMap has none of."""
    points = {
        key.replace("local_point_head", "point_head"): torch.zeros(
            (4, *value.shape[1:]) if ".output_conv2.2." in key else value.shape, device=value.device
        )
        for key, value in softmax.items()
        if key.startswith("local_point_head.")
    }
    tracks = {f"track_head.part{index}.weight": torch.empty(1, device="meta") for index in range(394)}
    shared = {key: value for key, value in softmax.items() if not key.startswith("local_point_head.")}
    return {**shared, **points, **tracks}
