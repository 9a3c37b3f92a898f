"""Which parts of the network never run in half precision."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 if it is narrower, else as it is (float64 stays float64)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which operations on the device of `x` keep the dtypes of their inputs."""
    return torch.autocast(x.device.type, enabled=False)


def autocast_to(x: Tensor) -> Tensor:
    """`x` as a matrix product would take it: in the dtype of autocast where that is on.

    For what several products take, so that one copy is made and kept for the backward pass.
    """
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
