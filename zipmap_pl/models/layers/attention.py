"""Softmax attention with normalised, rotated queries and keys (the attention of VGGT)."""

import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_pl.models.layers.rope import Rotation, rotate


class RotaryAttention(nn.Module):
    """Multi-head self-attention: LayerNorm on the queries and keys of each head, then rotary position embedding."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.q_norm = nn.LayerNorm(dim // heads)
        self.k_norm = nn.LayerNorm(dim // heads)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Tokens [N, L, C] -> [N, L, C]; `rotation` is that of the L tokens."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q = rotate(self.q_norm(q), rotation).to(v.dtype)
        k = rotate(self.k_norm(k), rotation).to(v.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))
