"""Which model do these tensors belong to? Sizes, mixer and heads are read from keys and shapes, each on its own."""

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from zipmap_pl.checkpoints.layout import shapes_of, some_of
from zipmap_pl.discovery import names_in
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import (
    CameraHeadConfig,
    DenseHeadConfig,
    ModelConfig,
    TokenizerConfig,
    mixer_fields,
    mixer_kind,
)
from zipmap_pl.models.heads import table
from zipmap_pl.models.mixers import kinds

TOKENIZER_HEAD_CHANNELS = 64  # in every DINOv2
CAMERA_HEADS = 16  # in the trunk of every published camera head
FEATURE_BLOCKS = {24: [4, 11, 17, 23], 4: [0, 1, 2, 3]}  # number of block pairs -> the ones that the heads read
VGGT_HEADS = ("point_head", "track_head")  # beyond those of ZipMap

FRAME = "aggregator.frame_blocks"
SCENE = "aggregator.global_blocks"
TOKENIZER = "aggregator.patch_embed"
FOREIGN = "expected the weights of ZipMap or VGGT-1B in their published layout"

Settings = TypeVar("Settings")


def model_config_of(
    state_dict: Mapping[str, Tensor], settings: ModelConfig | None = None, name: str = "state dict"
) -> ModelConfig:
    """The config of the model that has these keys and shapes.

    Args:
        state_dict: tensors by published keys; only their shapes are looked at.
        settings: answers what tensors do not tell: `reference_view`, the feature blocks, the heads of tokenizer and
            camera head, learning rate and Newton-Schulz of the fast weights, iterations. By default as published.
        name: the file's, for messages.

    Raises:
        UserError: the tensors are not ZipMap's or VGGT's.
    """
    layout = _Layout(shapes_of(state_dict), name)
    dim = layout.size("aggregator.camera_token", -1)
    depth = layout.count(FRAME)
    known = settings or ModelConfig()
    return replace(
        known,
        embed_dim=dim,
        patch_size=layout.size(f"{TOKENIZER}.patch_embed.proj.weight", -1),
        depth=depth,
        heads=dim // layout.size(f"{FRAME}.0.attn.q_norm.weight", 0),
        feature_blocks=list(settings.feature_blocks) if settings else _published_feature_blocks(depth, name),
        **_dense_heads(layout),
        tokenizer=_tokenizer(layout, dim, settings),
        camera_head=_camera_head(layout, settings),
        dense_head=_dense_head(layout, known.dense_head),
        **_scene_mixer(layout, known),
    )


def is_vggt(config: ModelConfig) -> bool:
    """VGGT has softmax blocks and no head for local points; its first view is always the reference."""
    return not config.mixer_kind.remembers and not config.local_point_head


def mixer_of(state_dict: Mapping[str, Tensor]) -> str | None:
    """The name of the scene mixer whose tensors these are; None if it is none of ours."""
    found = _recognized(shapes_of(state_dict), ModelConfig())
    return None if found is None else str(found["global_mixer"])


def unused_heads(config: ModelConfig) -> tuple[str, ...]:
    """What the names of tensors begin with that VGGT has for a head which a model of this config lacks."""
    return tuple(f"{head}." for head in VGGT_HEADS if head not in config.extra_heads)


def parse_settings(settings: object, name: str, kind: type[Settings]) -> Settings:
    """Settings that a file carries, as one of our dataclasses. Raises UserError for a key or value that this version does not know."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), cast(dict[str, Any], settings))
        return cast(Settings, OmegaConf.to_object(merged))
    except (OmegaConfBaseException, UserError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise UserError(f"{name}: its settings are not readable ({reason}); expected those of zipmap_pl") from error


class _Layout:
    """Questions to keys and shapes; an answer that is not there is a UserError."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], name: str) -> None:
        self.shapes = shapes
        self.name = name

    def has(self, key: str) -> bool:
        return key in self.shapes

    def has_module(self, prefix: str) -> bool:
        return any(key.startswith(f"{prefix}.") for key in self.shapes)

    def size(self, key: str, axis: int) -> int:
        """Length of one axis, at least 1."""
        shape = self.shapes.get(key)
        if shape is None:
            raise UserError(
                f"{self.name}: found no {key} among its {len(self.shapes)} tensors ({some_of(self.shapes)}); {FOREIGN}"
            )
        if not -len(shape) <= axis < len(shape) or shape[axis] == 0:
            raise UserError(f"{self.name}: {key} has shape {shape}; {FOREIGN}")
        return shape[axis]

    def count(self, prefix: str) -> int:
        """How many numbered modules stand below a prefix."""
        numbers = {match[1] for key in self.shapes if (match := re.match(rf"{re.escape(prefix)}\.(\d+)\.", key))}
        return len(numbers)


def _scene_mixer(layout: _Layout, known: ModelConfig) -> dict[str, Any]:
    """The fields of the config that say which scene mixer it is, and its settings."""
    found = _recognized(layout.shapes, known)
    if found is None:
        inside = [key for key in layout.shapes if key.startswith(f"{SCENE}.0.")]
        raise UserError(
            f"{layout.name}: its global blocks have none of the mixers {', '.join(names_in(kinds))} "
            f"({some_of(inside) or 'found none'}); {FOREIGN}"
        )
    return found


def _recognized(shapes: Mapping[str, tuple[int, ...]], known: ModelConfig) -> dict[str, Any] | None:
    """Each mixer is asked; `known` answers what shapes do not tell, if it has the same mixer."""
    block = {key.removeprefix(f"{SCENE}.0."): shape for key, shape in shapes.items() if key.startswith(f"{SCENE}.0.")}
    for name in names_in(kinds):
        kind = mixer_kind(name)
        settings = known.mixer_settings if known.global_mixer == name else kind.Settings()
        found = kind.recognize(block, settings)
        if found is not None:
            return mixer_fields(name, found)
    return None


def _published_feature_blocks(depth: int, name: str) -> list[int]:
    if depth not in FEATURE_BLOCKS:
        raise UserError(
            f"{name}: has {depth} block pairs and does not carry the settings that tell which of them the heads read; "
            "expected 24, or a file that save_published wrote"
        )
    return FEATURE_BLOCKS[depth]


def _published_tokenizer_heads(dim: int, name: str) -> int:
    if dim % TOKENIZER_HEAD_CHANNELS:
        raise UserError(
            f"{name}: has {dim} channels and does not carry the settings that tell the heads of its tokenizer; expected a "
            f"multiple of {TOKENIZER_HEAD_CHANNELS}, or a file that save_published wrote"
        )
    return dim // TOKENIZER_HEAD_CHANNELS


def _tokenizer(layout: _Layout, dim: int, settings: ModelConfig | None) -> TokenizerConfig:
    known = settings.tokenizer if settings else TokenizerConfig(heads=_published_tokenizer_heads(dim, layout.name))
    registers = f"{TOKENIZER}.register_tokens"
    return TokenizerConfig(
        depth=layout.count(f"{TOKENIZER}.blocks"),
        heads=known.heads,
        registers=layout.size(registers, 1) if layout.has(registers) else 0,
        layer_scale=known.layer_scale,
        position_grid=isqrt(layout.size(f"{TOKENIZER}.pos_embed", 1) - 1),
    )


def _camera_head(layout: _Layout, settings: ModelConfig | None) -> CameraHeadConfig:
    known = settings.camera_head if settings else CameraHeadConfig(heads=CAMERA_HEADS)
    there = [kind for kind, row in table.CAMERA_HEADS.items() if layout.has_module(row.key)]
    kind = there[-1] if there else CameraHeadConfig.kind
    return CameraHeadConfig(
        kind=kind,
        trunk_depth=layout.count(f"{table.CAMERA_HEADS[kind].key}.trunk") or known.trunk_depth,
        heads=known.heads,
        iterations=known.iterations,
        layer_scale=known.layer_scale,
    )


def _dense_heads(layout: _Layout) -> dict[str, Any]:
    """The settings that turn heads on, of those that are there."""
    there = {row: layout.has_module(row.key) for row in table.DENSE_HEADS}
    extra = [row.key for row, has in there.items() if has and row.switch == table.EXTRA]
    on = {row.switch for row, has in there.items() if has}
    switches = {row.switch for row in there} - {None, table.EXTRA}
    return {str(switch): switch in on for switch in switches} | {table.EXTRA: extra}


def _dense_head(layout: _Layout, known: DenseHeadConfig) -> DenseHeadConfig:
    head = next(row.key for row in table.DENSE_HEADS if row.switch is None)
    return DenseHeadConfig(
        features=layout.size(f"{head}.scratch.layer1_rn.weight", 0),
        level_channels=[layout.size(f"{head}.projects.{level}.weight", 0) for level in range(4)],
        hidden=layout.size(f"{head}.scratch.output_conv2.0.weight", 0),
        views_per_chunk=known.views_per_chunk,
    )
