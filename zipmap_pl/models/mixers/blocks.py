"""The blocks of the backbone: one that mixes within a view, one that mixes over a scene."""

from collections.abc import Sequence
from typing import cast

from timm.layers import LayerScale
from torch import Tensor, nn

from zipmap_pl.contracts.scene_state import LayerState
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.layers.attention import RotaryAttention
from zipmap_pl.models.layers.mlp import Mlp
from zipmap_pl.models.layers.rope import Rotation
from zipmap_pl.models.mixers.scene_mixer import FIT_THEN_READ_ALL, Directions, Operator, SceneMixer, TokenGrid

MLP_RATIO = 4


class PreNormBlock(nn.Module):
    """x + scale * mixer(norm(x)), then the same with an MLP. Subclasses own the mixer under its published name."""

    def __init__(self, dim: int, layer_scale: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.ls1 = LayerScale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, MLP_RATIO * dim)
        self.ls2 = LayerScale(dim, layer_scale)

    def add(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The residual stream after the mixer's output and the MLP."""
        x = x + self.ls1(mixed)
        return x + self.ls2(self.mlp(self.norm2(x)))


class FrameBlock(PreNormBlock):
    """Softmax attention among the tokens of one view."""

    def __init__(self, dim: int, heads: int, layer_scale: float) -> None:
        super().__init__(dim, layer_scale)
        self.attn = RotaryAttention(dim, heads)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Tokens of views [N, P, C] -> [N, P, C]."""
        return self.add(x, self.attn(self.norm1(x), rotation))


class SceneBlock(PreNormBlock):
    """Mixes the tokens of all views of a scene, by the mixer that the config names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.embed_dim, config.layer_scale)
        kind = config.mixer_kind
        self.mixer_key = kind.key
        self.add_module(kind.key, kind(config.embed_dim, config.heads, config.mixer_settings))

    @property
    def mixer(self) -> SceneMixer:
        """It lies under its published name."""
        return cast(SceneMixer, getattr(self, self.mixer_key))

    def forward(
        self,
        x: Tensor,
        grid: TokenGrid,
        operators: Sequence[Operator] = FIT_THEN_READ_ALL,
        state: LayerState | None = None,
    ) -> tuple[Tensor, LayerState]:
        """Tokens of scenes [B, S * P, C] -> the same, and what the mixer remembers of each scene.

        `state`: what it remembers from before; by default nothing.
        """
        mixed, state = self.mixer(self.norm1(x), grid, operators, state)
        return self.add(x, mixed), state

    def directions(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Directions:
        """Where the tokens [B, L, C] of some views pull the state; those of all views are added before a fit."""
        return self.mixer.directions(self.norm1(x), grid, state)

    def read(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Tensor:
        """Tokens [B, L, C] of some views -> the same after this block, with a state that was fitted to all views."""
        return self.add(x, self.mixer.read(self.norm1(x), grid, state))
