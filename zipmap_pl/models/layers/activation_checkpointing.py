"""Trade compute for memory: forget the activations of a block and compute them again in the backward pass."""

from collections.abc import Callable
from typing import Any

from torch.utils.checkpoint import checkpoint


def run(block: Callable[..., Any], *inputs: Any, recompute: bool) -> Any:
    """`block(*inputs)`; with `recompute` only the inputs are kept for the backward pass. Blocks draw no randomness."""
    if recompute:
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return block(*inputs)
