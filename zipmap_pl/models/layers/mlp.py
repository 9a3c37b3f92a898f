"""The MLP of the backbone's blocks, fc2(GELU(fc1(x))): it keeps the output of fc1 for its backward pass, and nothing as wide beside it.

Plain autograd keeps the output of the GELU as well, and needs the gradients of both: four tensors of four times the
model's width at once, the most that a block takes. Here tokens are taken in chunks, which costs no product more, and the
operator is opaque to the compiler for the reason told in `fast_weight_operators`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zipmap_pl.models.layers.opaque_operators import opaque
from zipmap_pl.models.layers.precision import autocast_to
from zipmap_pl.models.layers.token_chunks import added, as_wide_as, chunks


class Mlp(nn.Module):
    """Two linear layers with a GELU between them; parameter names as published."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., dim] -> [..., dim]."""
        weights = (self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)
        tokens = autocast_to(x).reshape(1, -1, x.shape[-1])
        out, _ = _mlp(tokens, *map(autocast_to, weights), torch.is_grad_enabled())
        return out.view(x.shape)


@opaque("mlp")
def _mlp(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    """[1, L, d] -> [1, L, d], and the output of fc1 [1, L, hidden] if it is to be kept (else of no tokens)."""
    out = x.new_empty(x.shape)
    hidden = x.new_empty(1, x.shape[1] if keep else 0, len(w1))
    for span in chunks(x):
        h = F.linear(x[:, span], w1, b1)
        if keep:
            hidden[:, span] = h
        out[:, span] = F.linear(F.gelu(h), w2, b2)
    return out, hidden


@opaque("mlp_backward")
def _mlp_backward(gradient: Tensor, x: Tensor, w1: Tensor, w2: Tensor, hidden: Tensor) -> list[Tensor]:
    """Gradients of x, w1, b1, w2 and b2 from that of the output."""
    sums: list[Tensor] = []
    dx = x.new_empty(x.shape)
    for span in chunks(x):
        tokens, h, d_out = x[0, span], hidden[0, span], gradient[0, span]
        dh = torch.ops.aten.gelu_backward(d_out @ w2, h)
        dx[0, span] = dh @ w1
        summands = (dh.mT @ tokens, dh.sum(0), d_out.mT @ F.gelu(h), d_out.sum(0))
        sums = added(sums, summands)
    return [dx, *as_wide_as((w1, w1, w2, w2), sums)]


@_mlp.register_fake
def _(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(1, x.shape[1] if keep else 0, len(w1))


@_mlp_backward.register_fake
def _(gradient: Tensor, x: Tensor, w1: Tensor, w2: Tensor, hidden: Tensor) -> list[Tensor]:
    return [x.new_empty(shape) for shape in (x.shape, w1.shape, w1.shape[:1], w2.shape, w2.shape[:1])]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, w1, _, w2, _, _ = inputs
    ctx.set_materialize_grads(False)  # nobody differentiates what is kept
    ctx.save_for_backward(x, w1, w2, output[1])


def _differentiate(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Any, ...]:
    return (None,) * 6 if gradient is None else (*_mlp_backward(gradient, *ctx.saved_tensors), None)


_mlp.register_autograd(_differentiate, setup_context=_save)
