"""The test-time-training layer: mixes all tokens of a scene, in linear time, through weights that it fits to them.

B scenes, L tokens per scene (view-major), C channels, n heads of d channels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import expm1, log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_pl.contracts.scene_state import LayerState
from zipmap_pl.models.config import TTTConfig
from zipmap_pl.models.layers import activation_checkpointing
from zipmap_pl.models.layers.precision import at_least_float32, autocast_to, no_autocast
from zipmap_pl.models.mixers import fast_weight_operators, fast_weights
from zipmap_pl.models.mixers.fast_weights import FastWeights, TTTState
from zipmap_pl.models.mixers.scene_mixer import Directions, SceneMixer, TokenGrid

SAME_NORMS = 1e-4  # relative difference that rounding may make


class Mixer(SceneMixer):
    """Fast weights start from learned ones, are fitted to keys and values, and answer the queries of the same tokens.

    No positional information and no mask: permuting the tokens permutes the output. Parameter names as published.
    A state is a `TTTState` by names such as "weights.w0" and "norms.w0".
    """

    key = "ttt_block"
    Settings = TTTConfig
    remembers = streams = in_chunks = True
    # The row order q, k, v is the same; the heads of attention become channel ranges of the fast weights' heads.
    from_attention = {"to_qkv": "qkv", "c_proj": "proj"}

    def __init__(self, dim: int, heads: int, settings: TTTConfig) -> None:
        super().__init__(dim, heads, settings)
        self.config = config = settings
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

    def start(self, scenes: int) -> LayerState:
        """The learned weights, once per scene."""
        weights = FastWeights(*(at_least_float32(w).repeat(scenes, 1, 1) for w in self.learned_weights))
        return _named(fast_weights.start(weights))

    def directions(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Directions:
        """Where the tokens [B, L, C] pull the weights, by the names of `FastWeights`."""
        channels = x.shape[-1]
        k, v = self._projected(x, slice(channels, 3 * channels))
        weights = _part(state, "weights")
        pull = fast_weight_operators.descent_directions(weights, k, v, self._learning_rates(x))
        return dict(zip(FastWeights._fields, pull, strict=True))

    def fit(self, state: LayerState, directions: Directions) -> LayerState:
        """The state after one step."""
        pull = FastWeights(directions["w0"], directions["w1"], directions["w2"])
        return _named(fast_weights.step(_typed(state), pull, self.config))

    def read(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Tensor:
        """What the fitted weights answer to the tokens [B, L, C], gated by the tokens themselves (the published weights need
        that, the paper's equation 7 gates by the answer) -> [B, L, C].
        """
        x = autocast_to(x)
        (q,) = self._projected(x, slice(0, x.shape[-1]))
        answers = fast_weight_operators.apply(_part(state, "weights"), q)
        gates = None if self.gate_fn is None else self.gate_fn[0](x)
        return self.c_proj(activation_checkpointing.run(self._gated, answers, gates, len(x), recompute=True))

    def faults(self, state: LayerState, scenes: int) -> Iterator[str]:
        """Other names, or shapes of another number of scenes, heads or channels."""
        allowed = {f"{part}.{name}" for part in TTTState._fields for name in FastWeights._fields}
        needed = {name for name in allowed if not name.startswith("velocity.") or "velocity.w0" in state}
        for name in sorted(state.keys() ^ needed):
            yield f"{name} {'surplus' if name in state else 'missing'}, expected the state of a test-time-training layer"
        found = _typed(state)
        velocities = found.velocity or found.weights
        for fitted, norms, velocity, own in zip(
            found.weights, found.norms, velocities, self.learned_weights, strict=True
        ):
            shape = (scenes * len(own), *own.shape[1:])
            if {fitted.shape, velocity.shape} != {shape} or norms.shape != (shape[0], 1, shape[2]):
                yield (
                    f"weights {tuple(fitted.shape)} with norms {tuple(norms.shape)}, "
                    f"expected weights {shape} for {scenes} scenes of this model"
                )

    def began_here(self, state: LayerState) -> bool:
        """Return False if the norms are those of other learned weights."""
        own = fast_weights.start(FastWeights(*map(_whole, self.learned_weights))).norms
        return not any(
            (norms.unflatten(0, (-1, self.heads)) - learned).norm() > SAME_NORMS * norms.norm()
            for norms, learned in zip(_part(state, "norms"), own, strict=True)
        )

    @classmethod
    def recognize(cls, shapes: Mapping[str, tuple[int, ...]], known: Any) -> Any | None:
        """Sizes and gate from the shapes."""
        shape = shapes.get("ttt_block.w0", ())
        if len(shape) != 3 or 0 in shape:
            return None
        _, head_dim, hidden = shape
        return replace(
            known,
            head_dim=head_dim,
            hidden_multiple=hidden // head_dim,
            gate="ttt_block.gate_fn.0.weight" in shapes,
        )

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


def _part(state: LayerState, name: str) -> FastWeights:
    return FastWeights(state[f"{name}.w0"], state[f"{name}.w1"], state[f"{name}.w2"])


def _typed(state: LayerState) -> TTTState:
    velocity = _part(state, "velocity") if "velocity.w0" in state else None
    return TTTState(_part(state, "weights"), _part(state, "norms"), velocity)


def _named(state: TTTState) -> LayerState:
    parts = zip(TTTState._fields, state, strict=True)
    return {
        f"{part}.{name}": tensor
        for part, tensors in parts
        if tensors is not None
        for name, tensor in zip(FastWeights._fields, tensors, strict=True)
    }


def _whole(parameter: Tensor) -> Tensor:
    """A parameter itself, or what all shards of it are together; outside of its block a sharded one is in shards."""
    return parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
