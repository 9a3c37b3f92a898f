"""Losses that make their gradient together with their value, a few items at a time.

Autograd would keep what the backward pass needs of all items until then, or with activation checkpointing compute the
whole loss twice. Here only the gradient itself is kept, and what is worked on stays small enough for a CPU's cache.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def loss_of_items(function: Callable[..., Tensor], items: Tensor, *others: Tensor, at_once: int) -> Tensor:
    """Losses [N] of items [N, ...]: those of `function(items, *others)` for `at_once` of them at a time.

    Gradients flow to `items` only, once. Entry n of what the function says must depend on item n alone, and not on
    anything else that learns.
    """
    return _LossOfItems.apply(function, at_once, items, *others)


class _LossOfItems(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], at_once: int, items: Tensor, *others: Tensor) -> Tensor:
        if not items.requires_grad:
            return torch.cat([function(*part) for part in _parts(at_once, items, *others)])
        losses, gradients = [], []
        for part, *rest in _parts(at_once, items, *others):
            leaf = part.detach().requires_grad_()
            with torch.enable_grad():
                loss = function(leaf, *rest)
                gradients += torch.autograd.grad(loss.sum(), leaf)
            losses.append(loss.detach())
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (of_items,) = ctx.saved_tensors
        factor = gradient.to(of_items.dtype).reshape(-1, *[1] * (of_items.ndim - 1))
        return None, None, of_items * factor, *[None] * (len(ctx.needs_input_grad) - 3)


def _parts(at_once: int, *tensors: Tensor) -> Any:
    return zip(*(tensor.split(at_once) for tensor in tensors), strict=True)
