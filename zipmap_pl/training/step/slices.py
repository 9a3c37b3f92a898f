"""Sharded tensors (DTensor) in an optimizer step: the slice that a process holds, and norms over all slices."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard


def gradient_norm(gradients: Sequence[Tensor]) -> Tensor:
    """L2 norm of all gradients together; of sharded ones over the slices of all processes, the same number on each."""
    norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def slice_of(tensor: Tensor) -> Tensor:
    """What this process holds of a sharded tensor; another one as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's slice of a whole tensor, cut as `parameter` is; scalars and where nothing is sharded: as it is."""
    if not isinstance(parameter, DTensor) or tensor.ndim == 0:
        return tensor
    mesh, placement = parameter.device_mesh, parameter.placements[-1]
    assert isinstance(placement, Shard)
    parts = tensor.tensor_split(_cuts(tensor.shape[placement.dim], mesh.size(mesh.ndim - 1)), placement.dim)
    mine = parts[mesh.get_local_rank(mesh.ndim - 1)].to(parameter.device).contiguous()
    return DTensor.from_local(
        mine, mesh, parameter.placements, run_check=False, shape=tensor.shape, stride=tensor.contiguous().stride()
    )


def _cuts(length: int, parts: int) -> list[int]:
    """Where DTensor cuts: as `torch.chunk`, but with empty slices at the end instead of none."""
    size = -(-length // parts)
    return [min(size * part, length) for part in range(1, parts)]
