"""A stand-in for a block or a head while the memory of a step is counted.

The backbone has dozens of blocks of the same kind, and a streaming block runs thousands of operations. Each kind is run once,
by itself, for each shape of its inputs; after that a block allocates what that one did, and runs nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_flatten, tree_unflatten

from zipmap_pl.memory.live_bytes import LiveBytes, signature


@dataclass(frozen=True)
class Output:
    """One tensor that a block returns; `given`: it is that one of the tensors that the block was given."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool
    given: int | None

    def find(self, made: Iterator[Tensor], given: list[Tensor]) -> Tensor:
        """The next of those that were made, or that which was given."""
        return next(made) if self.given is None else given[self.given]


@dataclass(frozen=True)
class BlockCost:
    """What a block allocates, in bytes.

    Attributes:
        outputs, tree: what it returns; leaves that are no tensors as they are.
        forward: the most that is alive in its forward pass, outputs included.
        kept: alive after it for the backward pass, without inputs, outputs and casts.
        casts: parameters that autocast has narrowed: made once, alive until the step is over.
        backward: the most that its backward pass has alive beyond what was there before.
    """

    outputs: tuple[Any, ...]
    tree: Any
    forward: int
    kept: int
    casts: int
    backward: int

    @property
    def made(self) -> list[Output]:
        """The tensors that the block makes."""
        return [output for output in self.outputs if isinstance(output, Output) and output.given is None]


@dataclass(frozen=True)
class Gathered:
    """Bytes that FSDP has whole for a block, in its forward pass and in its backward pass."""

    forward: int = 0
    backward: int = 0


Costs = dict[tuple, BlockCost]


class RepeatedBlock(nn.Module):
    """Takes the place of `block`. Checkpointing is around it, as it is around a block, and real.

    Args:
        block: its parameters have no contents either.
        costs: of the kinds of blocks that have been run; all blocks of a model share it.
        live: counts.
        arrived: called with each parameter of the block when its gradient is there.
        first_only: the outputs after the first (what a scene block remembers) take no part in the loss.
        gathered: parameters and gradients that are whole for the time of its forward pass, and of its backward pass.
    """

    def __init__(
        self,
        block: nn.Module,
        costs: Costs,
        live: LiveBytes,
        arrived: Callable[[Tensor], None],
        first_only: bool,
        gathered: Gathered,
    ) -> None:
        super().__init__()
        self.block, self.costs, self.live, self.arrived = block, costs, live, arrived
        self.first_only, self.gathered = first_only, gathered
        self.casts: Tensor | None = None

    def forward(self, *inputs: Any) -> Any:
        """What the block would return, without contents."""
        key = (type(self.block), signature(list(self.block.parameters())), signature(inputs))
        if key not in self.costs:
            with self.live.apart():
                self.costs[key] = cost_of(self.block, inputs, self.live, self.first_only)
        cost = self.costs[key]
        if self.casts is None:
            self.casts = torch.empty(cost.casts, dtype=torch.uint8)
        tensors = [leaf for leaf in tree_flatten(inputs)[0] if isinstance(leaf, Tensor)]
        made = iter(_StandIn.apply(self, cost, *tensors))
        results = [output.find(made, tensors) if isinstance(output, Output) else output for output in cost.outputs]
        return tree_unflatten(results, cost.tree)


class _StandIn(torch.autograd.Function):
    """Allocates what a block does: for a moment, until the backward pass, and in it."""

    @staticmethod
    def forward(ctx: Any, block: RepeatedBlock, cost: BlockCost, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.block, ctx.cost = block, cost
        ctx.set_materialize_grads(False)
        block.live.touch(cost.forward, block.gathered.forward)
        kept = torch.empty(max(cost.kept, 0), dtype=torch.uint8)
        ctx.save_for_backward(kept, *inputs)
        new = [(torch.empty(x.shape, dtype=x.dtype), x.requires_grad) for x in cost.made]
        ctx.mark_non_differentiable(*(tensor for tensor, differentiable in new if not differentiable))
        return tuple(tensor for tensor, _ in new)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        _, *inputs = ctx.saved_tensors
        ctx.block.live.touch(ctx.cost.backward, ctx.block.gathered.backward)
        for parameter in ctx.block.block.parameters():
            ctx.block.arrived(parameter)
        wanted = zip(inputs, ctx.needs_input_grad[2:], strict=True)
        return None, None, *(torch.empty_like(tensor) if needed else None for tensor, needed in wanted)


def cost_of(block: nn.Module, inputs: tuple, live: LiveBytes, first_only: bool) -> BlockCost:
    """Run a block forwards and backwards, apart from the graph that its inputs are part of."""
    leaves, tree = tree_flatten(inputs)
    copies = [leaf.detach().requires_grad_(leaf.requires_grad) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    before = live.live
    # Hooks of its own, because those of a checkpoint around the block would throw away what is to be counted. Without
    # the graph, because an output that its own graph holds would stay alive where the backward pass does not come by.
    with torch.enable_grad(), saved_tensors_hooks(Tensor.detach, _itself):
        outputs, result_tree, forward, kept, backward = _forward_and_backward(block, copies, tree, live, first_only)
    for parameter in block.parameters():
        parameter.grad = None
    del copies
    casts = live.live - before
    torch.clear_autocast_cache()
    return BlockCost(outputs, result_tree, forward, kept - casts, casts, backward)


def _forward_and_backward(
    block: nn.Module, copies: list, tree: Any, live: LiveBytes, first_only: bool
) -> tuple[tuple[Any, ...], Any, int, int, int]:
    """Outputs, their tree, and bytes: most in the forward pass, kept after it, most in the backward pass beyond that."""
    tensors = [copy for copy in copies if isinstance(copy, Tensor)]
    start = live.live
    live.forget_peak()
    results, result_tree = tree_flatten(block(*tree_unflatten(copies, tree)))
    forward = live.peak.tensors - start
    outputs = tuple(_described(result, tensors) for result in results)
    new = [result for result in results if isinstance(result, Tensor) and not _is_one_of(result, tensors)]
    kept = live.live - start - sum(result.untyped_storage().nbytes() for result in new)
    ends = [result for result in (new[:1] if first_only else new) if result.requires_grad]
    slopes = [torch.empty_like(result) for result in ends]
    with_slopes = live.live
    live.forget_peak()
    torch.autograd.backward(ends, slopes)
    return outputs, result_tree, forward, kept, live.peak.tensors - with_slopes


def _described(result: Any, given: list[Tensor]) -> Any:
    if not isinstance(result, Tensor):
        return result
    place = next((number for number, tensor in enumerate(given) if tensor is result), None)
    return Output(result.shape, result.dtype, result.requires_grad, place)


def _is_one_of(result: Tensor, given: list[Tensor]) -> bool:
    return any(tensor is result for tensor in given)


def _itself(tensor: Tensor) -> Tensor:
    return tensor
