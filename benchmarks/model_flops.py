"""FLOPs of a model's forward and backward pass, and of what GPUs can do at most."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from step_stages import Stage
from timed_step import tensors_in
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from zipmap_pl.models.mixers import fast_weight_operators  # noqa: F401  # registers the operators that are counted
from zipmap_pl.models.zipmap import ZipMap

# Dense bfloat16 TFLOP/s by what the device's name holds; the first that fits.
PEAK_TFLOPS = {"H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200 NVL": 835, "H200": 989, "A100": 312}


def model_flops(stage: Stage) -> int:
    """FLOPs of the products and convolutions of the model's forward and backward pass, none of them counted twice.

    Nothing is computed: the tensors have shapes only.
    """
    with torch.device("meta"):
        model = ZipMap(replace(stage.model, checkpoint_activations=False)).train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        queried = stage.views - stage.inputs
        images = torch.empty(stage.scenes, stage.inputs, 3, stage.side, stage.side)
        rays = torch.empty(stage.scenes, queried, 9, stage.side, stage.side) if queried else None
        counter = FlopCounterMode(display=False, custom_mapping=FLOPS_OF_OUR_OPERATORS)
        with sdpa_kernel(SDPBackend.MATH), counter, NothingUncounted():
            made = [tensor for tensor in tensors_in(model(images, target_rays=rays)) if tensor.requires_grad]
            torch.autograd.backward(made, [torch.empty_like(tensor) for tensor in made])
    return counter.get_total_flops()


def _products(count: int, weights: int) -> Callable[..., int]:
    """FLOPs of an operator: `count` products of tokens [N, L, d] and weights [N, d, m], its arguments from place `weights`."""

    def flops(*shapes: Any, **_: Any) -> int:
        matrices, tokens = shapes[weights : weights + 2]
        return 2 * count * math.prod(tokens) * matrices[0][-1]

    return flops


# Without what the backward passes compute a second time.
FLOPS_OF_OUR_OPERATORS: dict[Any, Callable[..., int]] = {
    torch.ops.zipmap_pl.descent_directions: _products(6, weights=0),
    torch.ops.zipmap_pl.descent_directions_backward: _products(12, weights=1),
    torch.ops.zipmap_pl.apply_fast_weights: _products(3, weights=0),
    torch.ops.zipmap_pl.apply_fast_weights_backward: _products(6, weights=1),
    torch.ops.zipmap_pl.mlp: lambda tokens, w1, *_, **__: 4 * math.prod(tokens) * w1[0],
    torch.ops.zipmap_pl.mlp_backward: lambda _, tokens, w1, *__, **___: 8 * math.prod(tokens) * w1[0],
}


class NothingUncounted(TorchDispatchMode):
    """Refuses operators of ours whose FLOPs nobody wrote down: the counter would leave them out without a word."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "zipmap_pl" and func.overloadpacket not in FLOPS_OF_OUR_OPERATORS:
            raise NotImplementedError(f"{func}: write down its FLOPs in benchmarks/model_flops.py")
        return func(*args, **(kwargs or {}))


def peak_tflops(device_name: str) -> float | None:
    """Of bfloat16 matrix products without sparsity, as the manufacturer says; None for a device that is not in the table."""
    return next((peak for name, peak in PEAK_TFLOPS.items() if name in device_name), None)
