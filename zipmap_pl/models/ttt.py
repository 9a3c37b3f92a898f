"""The test-time-training layer: mixes all tokens of a scene, in linear time, through weights that it fits to them.

B scenes, L tokens per scene (view-major), C channels, n heads of d channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1, log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_pl.models import fast_weights
from zipmap_pl.models.config import TTTConfig
from zipmap_pl.models.fast_weights import NORM_EPSILON, FastWeights, TTTState
from zipmap_pl.models.precision import at_least_float32, no_autocast


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
        self.head_dim = config.head_dim
        self.heads = dim // config.head_dim
        self.newton_schulz_steps = config.newton_schulz_steps
        self.newton_schulz_dtype: torch.dtype = getattr(torch, config.newton_schulz_dtype)
        # softplus(0 + shift) = the base learning rate
        self.rate_shift = config.base_learning_rate + log(-expm1(-config.base_learning_rate))

        hidden = config.hidden_multiple * self.head_dim
        self.w0 = nn.Parameter(torch.randn(self.heads, self.head_dim, hidden) * (2 / self.head_dim) ** 0.5)
        self.w1 = nn.Parameter(torch.randn(self.heads, hidden, self.head_dim) * (2 / hidden) ** 0.5)
        self.w2 = nn.Parameter(torch.randn(self.heads, self.head_dim, hidden) * (2 / self.head_dim) ** 0.5)
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.lr_fc = nn.Linear(dim, 3 * self.heads)
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
        q, k, v = self._queries_keys_values(x)
        rates = self._learning_rates(x)
        weights, norms = state or fast_weights.start(self._initial_weights(len(x)))
        outputs = []
        for operator in operators:
            span = slice(operator.start, operator.end)
            if operator.update:
                span_rates = FastWeights(*rates[:, :, span])
                weights = fast_weights.update(
                    weights,
                    k[:, span],
                    v[:, span],
                    span_rates,
                    norms,
                    self.newton_schulz_steps,
                    self.newton_schulz_dtype,
                )
            if operator.apply:
                outputs.append(fast_weights.apply(weights, q[:, span]))
        read_out = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        return self._project(read_out, x), TTTState(weights, norms)

    def start(self, scenes):
        return fast_weights.start(self._initial_weights(scenes))

    def directions(self, x, weights):
        _, k, v = self._queries_keys_values(x)
        d = fast_weights.descent_directions(weights, k, v, FastWeights(*self._learning_rates(x)))
        return FastWeights(*(at_least_float32(w) for w in d))

    def fit(self, state, directions):
        d = fast_weights.orthogonalise(directions, self.newton_schulz_steps, self.newton_schulz_dtype)
        return TTTState(
            FastWeights(*(fast_weights._with_norms(w + s, n) for w, s, n in zip(state.weights, d, state.norms))),
            state.norms,
        )

    def read(self, x, weights):
        q, _, _ = self._queries_keys_values(x)
        return self._project(fast_weights.apply(weights, q), x)

    def _queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each [B * n, L, d]; queries and keys of unit length."""
        scenes, tokens, _ = x.shape
        qkv = F.silu(self.to_qkv(x)).view(scenes, tokens, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        qkv = qkv.reshape(3, scenes * self.heads, tokens, self.head_dim)
        qk = at_least_float32(qkv[:2])
        q, k = (qk / (torch.linalg.vector_norm(qk, dim=-1, keepdim=True) + NORM_EPSILON)).unbind(0)
        return q, k, qkv[2]

    def _learning_rates(self, x: Tensor) -> Tensor:
        """[3 matrices, B * n, L, 1], positive, in float32 also under autocast."""
        with no_autocast(x):
            weight, bias = at_least_float32(self.lr_fc.weight), at_least_float32(self.lr_fc.bias)
            rates = F.softplus(F.linear(at_least_float32(x), weight, bias) + self.rate_shift)
        scenes, tokens, _ = x.shape
        rates = rates.view(scenes, tokens, 3, self.heads).permute(2, 0, 3, 1)
        return rates.reshape(3, scenes * self.heads, tokens, 1)

    def _initial_weights(self, scenes: int) -> FastWeights:
        """The learned weights, once per scene."""
        return FastWeights(*(at_least_float32(w).repeat(scenes, 1, 1) for w in self.learned_weights))

    def _project(self, read_out: Tensor, x: Tensor) -> Tensor:
        """Normalise per head, merge the heads, gate by the layer's input (the published weights need that), project."""
        scenes, tokens, channels = x.shape
        heads = self.o_norm(at_least_float32(read_out)).view(scenes, self.heads, tokens, self.head_dim)
        merged = heads.transpose(1, 2).reshape(scenes, tokens, channels)
        return self.c_proj(merged if self.gate_fn is None else merged * self.gate_fn(x))
