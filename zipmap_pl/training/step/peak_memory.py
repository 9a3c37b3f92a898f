"""How much memory this process has needed."""

import resource

import torch

GIB = 2**30


def peak_memory(device: torch.device) -> float:
    """GiB: on a GPU what tensors took there at most since the start, otherwise the most resident memory of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB  # Linux counts in KiB
