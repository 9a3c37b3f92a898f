"""The network inside the test-time-training layer: a bias-free SwiGLU, fitted to tokens by one closed-form step.

Row vectors: f(x) = (silu(x w0) * (x w2)) w1, with w0, w2 [N, d, m] and w1 [N, m, d]; N = scenes x heads, L tokens.
This is the mathematics of the layer, equations 4 to 6 of the paper: `descent_directions` of the virtual loss, the
`step` along them, and `apply`. `fast_weight_operators` has fitting and reading for any number of tokens.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zipmap_pl.models.config import TTTConfig
from zipmap_pl.models.layers.precision import at_least_float32
from zipmap_pl.models.mixers.newton_schulz import newton_schulz

NORM_EPSILON = 1e-5


class FastWeights(NamedTuple):
    """One value per weight matrix: the matrix itself, its column norms [N, 1, columns], or its learning rates."""

    w0: Tensor
    w1: Tensor
    w2: Tensor


class TTTState(NamedTuple):
    """What a layer remembers of a scene.

    Attributes:
        weights: the fitted ones.
        norms: the column norms of the weights that it began with; every update restores them.
        velocity: past directions, with momentum; None without.
    """

    weights: FastWeights
    norms: FastWeights
    velocity: FastWeights | None = None


def start(weights: FastWeights) -> TTTState:
    """A state that begins at `weights` and keeps their column norms (ZipMap: detached, taken before any update)."""
    return TTTState(weights, FastWeights(*(_column_norms(w).detach() for w in weights)))


def unit_features(projections: Tensor) -> Tensor:
    """Keys and queries from their projections [N, L, d]: SiLU, then unit length (measured in float32 at least)."""
    features = F.silu(projections)
    wide = at_least_float32(features)
    return (wide / (torch.linalg.vector_norm(wide, dim=-1, keepdim=True) + NORM_EPSILON)).to(features.dtype)


def apply(weights: FastWeights, q: Tensor) -> Tensor:
    """f(q) for tokens [N, L, d] -> [N, L, d]."""
    return gated(q @ weights.w0, q @ weights.w2) @ weights.w1


def gated(a: Tensor, u: Tensor) -> Tensor:
    """silu(a) * u, what is between the products of f."""
    return F.silu(a) * u


def descent_directions(weights: FastWeights, k: Tensor, v: Tensor, rates: FastWeights) -> FastWeights:
    """Minus the gradient of sum_i rate_i * (-f(k_i) . v_i) with respect to each matrix, each with its own rates.

    Args:
        k, v: keys and values [N, L, d].
        rates: learning rate of every token for each of the three matrices, [N, L, 1].
    """
    x0, x1, x2 = hidden_factors(k @ weights.w0, v @ weights.w1.mT, k @ weights.w2)
    return FastWeights(w0=(rates.w0 * k).mT @ x0, w1=x1.mT @ (rates.w1 * v), w2=(rates.w2 * k).mT @ x2)


def hidden_factors(a: Tensor, e: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a = k w0, e = v w1^T, u = k w2 [N, L, m] the factor of each direction that comes from inside of the network."""
    sigmoid = torch.sigmoid(a)
    silu = a * sigmoid
    silu_slope = sigmoid + silu - silu * sigmoid
    return e * u * silu_slope, silu * u, e * silu


def step(state: TTTState, directions: FastWeights, rule: TTTConfig) -> TTTState:
    """The weights after one step along `directions`, with the column norms that they had in the beginning.

    By the rule newton_schulz only the ratios of the tokens' learning rates matter, not their size.
    """
    velocity = state.velocity
    if rule.update_rule == "newton_schulz":
        directions = orthogonalise(directions, rule.newton_schulz_steps, getattr(torch, rule.newton_schulz_dtype))
    elif rule.update_rule == "momentum":
        if velocity is not None:
            directions = FastWeights(*(rule.momentum * p + d for p, d in zip(velocity, directions, strict=True)))
        velocity = directions
    size = 1.0 if rule.global_learning_rate is None else rule.global_learning_rate
    moved = (w + size * d for w, d in zip(state.weights, directions, strict=True))
    return TTTState(FastWeights(*map(_with_norms, moved, state.norms)), state.norms, velocity)


def orthogonalise(directions: FastWeights, steps: int, dtype: torch.dtype) -> FastWeights:
    """Newton-Schulz on all three matrices in one batch (w1 is turned, so that all have the shape [N, d, m])."""
    batch = torch.cat([directions.w0, directions.w1.mT, directions.w2])
    w0, w1, w2 = newton_schulz(batch, steps, dtype).chunk(3)
    return FastWeights(w0, w1.mT, w2)


def _column_norms(w: Tensor) -> Tensor:
    return torch.linalg.vector_norm(at_least_float32(w), dim=1, keepdim=True)


def _with_norms(w: Tensor, norms: Tensor) -> Tensor:
    return w * (norms / (_column_norms(w) + NORM_EPSILON))
