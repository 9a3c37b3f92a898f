"""Which parts of the network never run in half precision."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 if it is narrower, else as it is (float64 stays float64)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which operations on the device of `x` keep the dtypes of their inputs."""
    return torch.autocast(x.device.type, enabled=False)
