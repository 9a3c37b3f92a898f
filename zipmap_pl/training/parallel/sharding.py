"""A model whose parameters lie in shards on several GPUs (FSDP2), and what training does with such parameters.

Outside of its units' forward and backward passes, every process holds one slice of each parameter, of its gradient and of
its optimiser state (a DTensor). Names, groups and learning rates are those of the whole model.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import Shard
from torch.utils import _pytree as pytree

from zipmap_pl.contracts.prediction import Prediction, QueriedViews
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.models.aggregator import Features
from zipmap_pl.models.zipmap import ZipMap

# FSDP hooks the tensors in what a module returns, and looks for them in these only if it is told.
RETURNED = (Features, SceneState, Prediction, QueriedViews)


def shard(model: ZipMap, mesh: DeviceMesh, narrow_backbone: bool) -> None:
    """Cut every parameter of `model` into slices over `mesh`, in place. The model is whole, and the same on every process.

    One unit per block of the backbone, one for the rest of the tokenizer, one for the rest of the backbone, one per head.
    A unit's parameters are gathered when it is used, forwards and backwards, and freed after it.

    Args:
        mesh: one dimension to shard over; or two, to replicate over the first and shard over the second.
        narrow_backbone: parameters of the backbone are gathered in bfloat16, their gradients reduced in float32; heads
            stay in float32 (as published). Slices, and what the optimiser does with them, are float32 in any case.
    """
    for kind in RETURNED:
        if kind not in pytree.SUPPORTED_NODES:
            pytree.register_dataclass(kind)
    narrow = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if narrow_backbone else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,  # autocast decides; the tables of the rotary embedding stay in float32
    )
    wide = MixedPrecisionPolicy(cast_forward_inputs=False)
    size = mesh.size(mesh.ndim - 1)

    def placement(parameter: nn.Parameter) -> Shard:
        return Shard(shard_dimension(tuple(parameter.shape), size))

    backbone = model.aggregator
    blocks = [*backbone.patch_embed.blocks, *backbone.frame_blocks, *backbone.global_blocks]
    heads = [module for module in model.children() if module is not backbone]
    for module, policy in (
        *((module, narrow) for module in (*blocks, backbone.patch_embed, backbone)),
        *((module, wide) for module in (*heads, model)),
    ):
        # Always freed after the forward pass, the root too: a copy that stays would be stale when the slices change
        # without a backward pass in between (a skipped step, averaged weights swapped in).
        fully_shard(module, mesh=mesh, mp_policy=policy, reshard_after_forward=True, shard_placement_fn=placement)
    for name in ("compress", "query"):
        register_fsdp_forward_method(model, name)


def shard_dimension(shape: Sequence[int], parts: int) -> int:
    """Along which dimension a parameter is cut: the first one, or if that is too short, the longest that can be cut evenly.

    Fast weights have one network per head in front, of which the published model has one.
    """
    even = [dim for dim in range(1, len(shape)) if shape[dim] % parts == 0]
    if not even or shape[0] >= parts:
        return 0
    return max(even, key=lambda dim: shape[dim])


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` was applied."""
    return isinstance(model, FSDPModule)
