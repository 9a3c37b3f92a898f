"""Softmax attention among the tokens of all views of a scene: quadratic in their number (VGGT)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zipmap_pl.contracts.scene_state import LayerState
from zipmap_pl.models.layers.attention import RotaryAttention
from zipmap_pl.models.layers.rope import Rotation
from zipmap_pl.models.mixers.scene_mixer import Directions, SceneMixer, TokenGrid


@dataclass
class Settings:
    """None: the number of heads is that of the frame blocks."""


class Mixer(SceneMixer, RotaryAttention):  # type: ignore[misc]  # forward is that of SceneMixer
    """Every token looks at every other one of its scene, so all of them have to be there: nothing is remembered."""

    key = "attn"
    Settings = Settings
    remembers = streams = in_chunks = False

    def __init__(self, dim: int, heads: int, settings: Any) -> None:
        RotaryAttention.__init__(self, dim, heads)

    @classmethod
    def recognize(cls, shapes: Mapping[str, tuple[int, ...]], known: Any) -> Any | None:
        """The norms of queries and keys tell it from other mixers under the same name."""
        return known if "attn.q_norm.weight" in shapes else None

    def start(self, scenes: int) -> LayerState:
        """Nothing."""
        return {}

    def directions(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Directions:
        """None."""
        return {}

    def fit(self, state: LayerState, directions: Directions) -> LayerState:
        """Nothing."""
        return {}

    def read(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Tensor:
        """Attention among tokens [B, L, C] -> [B, L, C]."""
        rotation = Rotation(*(table.repeat(grid.views, 1) for table in grid.rotation))
        return RotaryAttention.forward(self, x, rotation)
