"""Fitting and reading fast weights for any number of tokens: memory beyond inputs and results does not grow with them.

They begin at the projections of the tokens, before SiLU and normalisation, so that these are all that is kept for the
backward pass. The mathematics is that of `fast_weights`; the tests compare results and gradients with it. Tokens are taken
in chunks, and the backward passes, written out here, compute what they need once more.
All of it is opaque to the compiler, because the number of chunks depends on the number of tokens: a loop over them
inside a compiled block would be compiled again for every length.

Operators know tensors and lists of them only, so weights, directions and rates are lists in the order of `FastWeights`.
`autocast` is the dtype of the caller's autocast, if there is one; sums over chunks are in float32 at least. What is
between the products is compiled into few kernels (`Fused`) on a GPU where that pays; backward passes always.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zipmap_pl.models.layers.fused_kernels import Fused, worth_compiling
from zipmap_pl.models.layers.opaque_operators import opaque
from zipmap_pl.models.layers.precision import at_least_float32
from zipmap_pl.models.layers.token_chunks import added, as_wide_as, chunks
from zipmap_pl.models.mixers import fast_weights
from zipmap_pl.models.mixers.fast_weights import NORM_EPSILON, FastWeights, unit_features


def descent_directions(weights: FastWeights, k: Tensor, v: Tensor, rates: FastWeights) -> FastWeights:
    """`fast_weights.descent_directions` of keys unit_features(k) and values silu(v), in float32 at least.

    Args:
        k, v: projections of the tokens [N, L, d].
        rates: [N, L, 1].
    """
    return FastWeights(*_descent(list(weights), k, v, list(rates), _autocast_dtype(k), worth_compiling()))


def apply(weights: FastWeights, q: Tensor) -> Tensor:
    """`fast_weights.apply` to the queries unit_features(q), of projections [N, L, d] -> [N, L, d]."""
    return _apply(list(weights), q, _autocast_dtype(q), worth_compiling())


@opaque("descent_directions")
def _descent(
    weights: Sequence[Tensor], k: Tensor, v: Tensor, rates: Sequence[Tensor], autocast: torch.dtype | None, fuse: bool
) -> list[Tensor]:
    sums: list[Tensor] = []
    fuse = fuse and k.is_cuda
    with _precision(k, autocast):
        w0, w1, w2 = _narrowed(weights, autocast)
        for span in chunks(k):
            chunk_rates = tuple(rate[:, span] for rate in rates)
            keys, values, rated = _KEYS_AND_VALUES(k[:, span], v[:, span], chunk_rates, fuse=fuse)
            x0, x1, x2 = _HIDDEN_FACTORS(keys @ w0, values @ w1.mT, keys @ w2, fuse=fuse)
            sums = added(sums, (rated[0].mT @ x0, x1.mT @ rated[1], rated[2].mT @ x2))
    return sums


def _keys_and_values(
    k: Tensor, v: Tensor, rates: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Keys and values of projections [N, L, d], and which of the two each direction is a product with, times its rates."""
    keys, values = unit_features(k), F.silu(v)
    rated = [(rate * x).to(x.dtype) for rate, x in zip(rates, (keys, values, keys), strict=True)]
    return keys, values, (rated[0], rated[1], rated[2])


@opaque("descent_directions_backward")
def _descent_backward(
    gradients: Sequence[Tensor],
    weights: Sequence[Tensor],
    k: Tensor,
    v: Tensor,
    rates: Sequence[Tensor],
    autocast: torch.dtype | None,
) -> list[Tensor]:
    """Gradients of the weights, of k, of v and of the rates from those of the directions."""
    sums: list[Tensor] = []
    dk, dv, *d_rates = (x.new_empty(x.shape) for x in (k, v, *rates))
    with _precision(k, autocast):
        w0, w1, w2 = _narrowed(weights, autocast)
        g0, g1, g2 = _narrowed(gradients, autocast)
        for span in chunks(k):
            keys, values = _UNIT_FEATURES(k[:, span], fuse=k.is_cuda), F.silu(v[:, span])
            (x0, x1, x2), (da, de, du), d_chunk_rates = _BACKWARD_BETWEEN_PRODUCTS(
                (keys @ w0, values @ w1.mT, keys @ w2),
                (keys @ g0, values @ g1.mT, keys @ g2),
                tuple(rate[:, span] for rate in rates),
                fuse=k.is_cuda,
            )
            d_keys, d_values = x0 @ g0.mT + x2 @ g2.mT + da @ w0.mT + du @ w2.mT, x1 @ g1 + de @ w1
            dk[:, span] = _UNIT_FEATURES_BACKWARD(d_keys, k[:, span], fuse=k.is_cuda)
            dv[:, span] = torch.ops.aten.silu_backward(d_values, v[:, span])
            for d_rate, d_chunk in zip(d_rates, d_chunk_rates, strict=True):
                d_rate[:, span] = d_chunk
            sums = added(sums, (keys.mT @ da, de.mT @ values, keys.mT @ du))
    return [*as_wide_as(weights, sums), dk, dv, *d_rates]


def _backward_between_products(
    projections: tuple[Tensor, Tensor, Tensor], incoming: tuple[Tensor, Tensor, Tensor], rates: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What the backward pass of `descent_directions` does between its matrix products.

    Args:
        projections: a = k w0, e = v w1^T, u = k w2, [N, L, m].
        incoming: the gradients of the directions g in the place of w: k g0, v g1^T, k g2.
        rates: [N, L, 1].

    Returns:
        The second factors of the three directions times the rates; the gradients of a, e, u; those of the rates.
    """
    a, e, u = projections
    sigmoid = torch.sigmoid(a)
    silu = a * sigmoid
    slope = sigmoid + silu - silu * sigmoid
    curvature = sigmoid * (1 - sigmoid) * (2 + a - 2 * silu)
    factors = (e * u * slope, silu * u, e * silu)
    d_rates = tuple(
        (i * x).sum(-1, keepdim=True, dtype=r.dtype) for i, x, r in zip(incoming, factors, rates, strict=True)
    )
    d0, d1, d2 = ((r * i).to(a.dtype) for r, i in zip(rates, incoming, strict=True))
    da = (d2 * e + d1 * u) * slope + d0 * e * u * curvature
    de = d0 * u * slope + d2 * silu
    du = d0 * e * slope + d1 * silu
    weighted = tuple((r * x).to(a.dtype) for r, x in zip(rates, factors, strict=True))
    return weighted, (da, de, du), d_rates


@opaque("apply_fast_weights")
def _apply(weights: Sequence[Tensor], q: Tensor, autocast: torch.dtype | None, fuse: bool) -> Tensor:
    out = q.new_empty(q.shape)
    fuse = fuse and q.is_cuda
    with _precision(q, autocast):
        w0, w1, w2 = _narrowed(weights, autocast)
        for span in chunks(q):
            queries = _UNIT_FEATURES(q[:, span], fuse=fuse)
            out[:, span] = _GATED(queries @ w0, queries @ w2, fuse=fuse) @ w1
    return out


@opaque("apply_fast_weights_backward")
def _apply_backward(
    gradient: Tensor, weights: Sequence[Tensor], q: Tensor, autocast: torch.dtype | None
) -> list[Tensor]:
    """Gradients of the weights and of q from that of the read-outs."""
    sums: list[Tensor] = []
    dq = q.new_empty(q.shape)
    with _precision(q, autocast):
        w0, w1, w2 = _narrowed(weights, autocast)
        for span in chunks(q):
            queries, d_out = _UNIT_FEATURES(q[:, span], fuse=q.is_cuda), gradient[:, span]
            h, da, du = _GATED_AND_BACKWARD(queries @ w0, queries @ w2, d_out @ w1.mT, fuse=q.is_cuda)
            dq[:, span] = _UNIT_FEATURES_BACKWARD(da @ w0.mT + du @ w2.mT, q[:, span], fuse=q.is_cuda)
            sums = added(sums, (queries.mT @ da, h.mT @ d_out, queries.mT @ du))
    return [*as_wide_as(weights, sums), dq]


def _gated_and_backward(a: Tensor, u: Tensor, dh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h = silu(a) * u, and the gradients of a and u from that of h, [N, L, m]."""
    silu = F.silu(a)
    return silu * u, torch.ops.aten.silu_backward(dh * u, a), dh * silu


def _unit_features_backward(gradient: Tensor, projections: Tensor) -> Tensor:
    """The gradient of the projections from that of `fast_weights.unit_features`."""
    features, d_unit = at_least_float32(F.silu(projections)), at_least_float32(gradient)
    norm = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    inverse = 1 / (norm + NORM_EPSILON)
    along = (d_unit * features).sum(-1, keepdim=True) * inverse / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    return torch.ops.aten.silu_backward(((d_unit - along * features) * inverse).to(projections.dtype), projections)


_UNIT_FEATURES = Fused(unit_features)
_UNIT_FEATURES_BACKWARD = Fused(_unit_features_backward)
_KEYS_AND_VALUES = Fused(_keys_and_values)
_HIDDEN_FACTORS = Fused(fast_weights.hidden_factors)
_BACKWARD_BETWEEN_PRODUCTS = Fused(_backward_between_products)
_GATED = Fused(fast_weights.gated)
_GATED_AND_BACKWARD = Fused(_gated_and_backward)


@_descent.register_fake
def _(
    weights: Sequence[Tensor], k: Tensor, v: Tensor, rates: Sequence[Tensor], autocast: Any, fuse: bool
) -> list[Tensor]:
    return [w.new_empty(w.shape, dtype=torch.promote_types(w.dtype, torch.float32)) for w in weights]


@_descent_backward.register_fake
def _(
    gradients: Sequence[Tensor], weights: Sequence[Tensor], k: Tensor, v: Tensor, rates: Sequence[Tensor], autocast: Any
) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in (*weights, k, v, *rates)]


@_apply.register_fake
def _(weights: Sequence[Tensor], q: Tensor, autocast: Any, fuse: bool) -> Tensor:
    return q.new_empty(q.shape)


@_apply_backward.register_fake
def _(gradient: Tensor, weights: Sequence[Tensor], q: Tensor, autocast: Any) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in (*weights, q)]


def _save_for_descent(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    weights, k, v, rates, ctx.autocast, _ = inputs
    ctx.save_for_backward(*weights, k, v, *rates)


def _differentiate_descent(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    w0, w1, w2, k, v, *rates = ctx.saved_tensors
    found = _descent_backward(gradients, [w0, w1, w2], k, v, rates, ctx.autocast)
    return found[:3], found[3], found[4], found[5:], None, None


def _save_for_apply(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weights, q, ctx.autocast, _ = inputs
    ctx.save_for_backward(*weights, q)


def _differentiate_apply(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    *weights, q = ctx.saved_tensors
    found = _apply_backward(gradient, weights, q, ctx.autocast)
    return found[:3], found[3], None, None


_descent.register_autograd(_differentiate_descent, setup_context=_save_for_descent)
_apply.register_autograd(_differentiate_apply, setup_context=_save_for_apply)


def _autocast_dtype(x: Tensor) -> torch.dtype | None:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def _precision(x: Tensor, dtype: torch.dtype | None) -> torch.autocast:
    return torch.autocast(x.device.type, dtype, enabled=dtype is not None)


def _narrowed(tensors: Sequence[Tensor], dtype: torch.dtype | None) -> list[Tensor]:
    """What autocast would do in every chunk again."""
    return [tensor if dtype is None else tensor.to(dtype) for tensor in tensors]
