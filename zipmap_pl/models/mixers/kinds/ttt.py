"""The test-time-training layer: mixes all tokens of a scene, in linear time, through weights that it fits to them.

B scenes, L tokens per scene (view-major), C channels, n heads of d channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1, log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_pl.models.config import TTTConfig
from zipmap_pl.models.layers import activation_checkpointing
from zipmap_pl.models.layers.precision import at_least_float32, autocast_to, no_autocast
from zipmap_pl.models.mixers import fast_weight_operators, fast_weights
from zipmap_pl.models.mixers.fast_weights import FastWeights, TTTState


@dataclass(frozen=True)
class Operator:
    """Over the tokens [start, end) of a scene: fit the fast weights to them (update), then read them (apply), or one.

    A list of operators is the whole behaviour of a layer: `FIT_THEN_READ_ALL` is bidirectional reconstruction; one
    operator with both steps per window is causal streaming; `READ_ALL` from a stored state is a query.
    `end=None`: to the last token.
    """

    start: int = 0
    end: int | None = None
    update: bool = False
    apply: bool = False

    def in_tokens(self, tokens_per_view: int) -> "Operator":
        """The same over tokens, for an operator that counts views."""
        end = None if self.end is None else self.end * tokens_per_view
        return Operator(self.start * tokens_per_view, end, self.update, self.apply)


FIT_THEN_READ_ALL = (Operator(update=True, apply=True),)
READ_ALL = (Operator(apply=True),)


def windows(views: int, size: int) -> tuple[Operator, ...]:
    """Causal streaming over `views` views, in windows of `size` of them; the last one may be shorter."""
    return tuple(Operator(start, min(start + size, views), True, True) for start in range(0, views, size))


class TTTLayer(nn.Module):
    """Fast weights start from learned ones, are fitted to keys and values, and answer the queries of the same tokens.

    No positional information and no mask: permuting the tokens permutes the output. Parameter names as published.
    """

    def __init__(self, dim: int, config: TTTConfig) -> None:
        super().__init__()
        self.config = config
        self.head_dim = config.head_dim
        self.heads = dim // config.head_dim
        # softplus(0 + shift) = the base learning rate
        self.rate_shift = config.base_learning_rate + log(-expm1(-config.base_learning_rate))

        hidden = config.hidden_multiple * self.head_dim
        self.w0 = nn.Parameter(torch.randn(self.heads, self.head_dim, hidden) * (2 / self.head_dim) ** 0.5)
        self.w1 = nn.Parameter(torch.randn(self.heads, hidden, self.head_dim) * (2 / hidden) ** 0.5)
        self.w2 = nn.Parameter(torch.randn(self.heads, self.head_dim, hidden) * (2 / self.head_dim) ** 0.5)
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.lr_fc = nn.Linear(dim, 3 * self.heads) if config.global_learning_rate is None else None
        self.gate_fn = nn.Sequential(nn.Linear(dim, dim), nn.SiLU()) if config.gate else None
        self.o_norm = nn.RMSNorm(self.head_dim, eps=1e-5)
        self.c_proj = nn.Linear(dim, dim)

    @property
    def learned_weights(self) -> FastWeights:
        """Where the fit begins, [heads, ...]."""
        return FastWeights(self.w0, self.w1, self.w2)

    def forward(
        self, x: Tensor, operators: Sequence[Operator] = FIT_THEN_READ_ALL, state: TTTState | None = None
    ) -> tuple[Tensor, TTTState]:
        """Run the operators in order.

        Args:
            x: normalised tokens [B, L, C].
            operators: their read-outs are concatenated in order and must cover L tokens in all.
            state: where to continue; by default the learned weights.

        Returns:
            Tokens [B, L, C], and the state after the last update ([B * n, ...], scene-major).
        """
        state = state or self.start(len(x))
        outputs = []
        for operator in operators:
            tokens = x[:, operator.start : operator.end]
            if operator.update:
                state = self.fit(state, self.directions(tokens, state.weights))
            if operator.apply:
                outputs.append(self.read(tokens, state.weights))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), state

    def start(self, scenes: int) -> TTTState:
        """What is remembered before the first update: the learned weights, once per scene."""
        return fast_weights.start(
            FastWeights(*(at_least_float32(w).repeat(scenes, 1, 1) for w in self.learned_weights))
        )

    def directions(self, x: Tensor, weights: FastWeights) -> FastWeights:
        """Where the tokens [B, L, C] pull the weights: a sum over tokens, so parts of a scene may be added up."""
        channels = x.shape[-1]
        k, v = self._projected(x, slice(channels, 3 * channels))
        return fast_weight_operators.descent_directions(weights, k, v, self._learning_rates(x))

    def fit(self, state: TTTState, directions: FastWeights) -> TTTState:
        """The state after one step."""
        return fast_weights.step(state, directions, self.config)

    def read(self, x: Tensor, weights: FastWeights) -> Tensor:
        """What the weights answer to the tokens [B, L, C], gated by the tokens themselves (the published weights need
        that, the paper's equation 7 gates by the answer) -> [B, L, C].
        """
        x = autocast_to(x)
        (q,) = self._projected(x, slice(0, x.shape[-1]))
        answers = fast_weight_operators.apply(weights, q)
        gates = None if self.gate_fn is None else self.gate_fn[0](x)
        return self.c_proj(activation_checkpointing.run(self._gated, answers, gates, len(x), recompute=True))

    def _gated(self, answers: Tensor, gates: Tensor | None, scenes: int) -> Tensor:
        """Answers [B * n, L, d], of unit size -> [B, L, C], times what gates [B, L, C] let through."""
        # A shard's weight is bfloat16 while it is gathered; the fused kernel wants both alike.
        weight = at_least_float32(self.o_norm.weight)
        normed = F.rms_norm(at_least_float32(answers), weight.shape, weight, self.o_norm.eps)
        merged = normed.unflatten(0, (scenes, self.heads)).transpose(1, 2).flatten(2)
        return merged if gates is None or self.gate_fn is None else merged * self.gate_fn[1](gates)

    def _projected(self, x: Tensor, rows: slice) -> tuple[Tensor, ...]:
        """Projections to those of queries, keys and values that the rows of the matrix stand for, each [B * n, L, d]."""
        scenes, tokens, channels = x.shape
        parts = F.linear(x, self.to_qkv.weight[rows], self.to_qkv.bias[rows]).split(channels, dim=-1)
        heads = (part.view(scenes, tokens, self.heads, self.head_dim).transpose(1, 2) for part in parts)
        return tuple(head.reshape(-1, tokens, self.head_dim) for head in heads)

    def _learning_rates(self, x: Tensor) -> FastWeights:
        """Of every token, head and matrix [B * n, L, 1], positive, in float32 also under autocast."""
        scenes, tokens, _ = x.shape
        if self.lr_fc is None:
            one = at_least_float32(x).new_ones(()).expand(scenes * self.heads, tokens, 1)
            return FastWeights(one, one, one)
        with no_autocast(x):
            weight, bias = at_least_float32(self.lr_fc.weight), at_least_float32(self.lr_fc.bias)
            rates = F.softplus(F.linear(at_least_float32(x), weight, bias) + self.rate_shift)
        rates = rates.view(scenes, tokens, 3, self.heads).permute(2, 0, 3, 1)
        return FastWeights(*rates.reshape(3, scenes * self.heads, tokens, 1))
