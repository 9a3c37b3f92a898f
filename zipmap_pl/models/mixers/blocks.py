"""The blocks of the backbone: one that mixes within a view and, by name of their mixer, those that mix over a scene."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from timm.layers import LayerScale
from torch import Tensor, nn

from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.layers.attention import RotaryAttention
from zipmap_pl.models.layers.mlp import Mlp
from zipmap_pl.models.layers.rope import Rotation
from zipmap_pl.models.mixers.fast_weights import FastWeights, TTTState
from zipmap_pl.models.mixers.kinds.ttt import FIT_THEN_READ_ALL, Operator, TTTLayer

MLP_RATIO = 4


@dataclass(frozen=True)
class SceneContext:
    """What a scene block may want to know besides the tokens [B, S * P, C] themselves."""

    rotation: Rotation  # of the P tokens of one view
    views: int  # S
    operators: Sequence[Operator] = FIT_THEN_READ_ALL  # over the tokens


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


class SoftmaxSceneBlock(FrameBlock):
    """The same attention among the tokens of all views of a scene: quadratic in their number (VGGT)."""

    def forward(self, x: Tensor, context: SceneContext, state: None = None) -> tuple[Tensor, None]:  # type: ignore[override]
        """Tokens of scenes [B, S * P, C] -> the same; this block remembers nothing."""
        rotation = Rotation(*(table.repeat(context.views, 1) for table in context.rotation))
        return super().forward(x, rotation), None


class TTTSceneBlock(PreNormBlock):
    """Test-time training over the tokens of all views of a scene: linear in their number (ZipMap)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.embed_dim, config.layer_scale)
        self.ttt_block = TTTLayer(config.embed_dim, config.ttt)

    def forward(self, x: Tensor, context: SceneContext, state: TTTState | None = None) -> tuple[Tensor, TTTState]:
        """Tokens of scenes [B, S * P, C] -> the same, and what the layer remembers of each scene.

        `state`: what it remembers from before; by default nothing.
        """
        mixed, state = self.ttt_block(self.norm1(x), context.operators, state)
        return self.add(x, mixed), state

    def directions(self, x: Tensor, weights: FastWeights) -> FastWeights:
        """Where some tokens [B, L, C] pull the weights; those of all parts of a scene are added before a fit."""
        return self.ttt_block.directions(self.norm1(x), weights)

    def read(self, x: Tensor, weights: FastWeights) -> Tensor:
        """Some tokens [B, L, C] -> the same after this block, with weights that were fitted to all of them."""
        return self.add(x, self.ttt_block.read(self.norm1(x), weights))


SCENE_BLOCKS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "ttt": TTTSceneBlock,
    "softmax": lambda config: SoftmaxSceneBlock(config.embed_dim, config.heads, config.layer_scale),
}
