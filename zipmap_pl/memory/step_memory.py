"""Runs a training step on tensors without contents and counts what it would allocate: model, losses, backward pass.

It is the code of the real step, with the blocks of the backbone run once for each kind (`repeated_block`). Nothing here
looks at data or at a GPU.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.draws.draw import StepShape
from zipmap_pl.datasets.draws.state_query import input_count, target_count
from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.perceptual import PerceptualDistance
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.memory.live_bytes import LiveBytes, Moment
from zipmap_pl.memory.repeated_block import Costs, Gathered, RepeatedBlock
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig


@dataclass(frozen=True)
class Numerics:
    """How a step computes.

    Attributes:
        autocast: the backbone computes in bfloat16.
        narrow_backbone: its parameters are bfloat16 already, as FSDP gathers them.
        gpu_rules: autocast leaves to float32 what it does on a GPU, not what it does on a CPU.
    """

    autocast: bool = True
    narrow_backbone: bool = False
    gpu_rules: bool = True


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one micro-batch, without parameters and optimiser.

    Attributes:
        batch: pictures, depth, masks, cameras.
        kept: what the forward pass leaves for the backward pass, predictions included.
        peak: the moment with the most.
        phase: where that is: forward, loss or backward.
    """

    batch: int
    kept: int
    peak: Moment
    phase: str


def step_memory(
    config: RunConfig,
    shape: StepShape,
    numerics: Numerics,
    gradient_bytes: Callable[[Tensor], int],
    gathered: Callable[[nn.Module], Gathered] = lambda _: Gathered(),
) -> StepMemory:
    """Count one step.

    Args:
        config: its model, losses and kind of batches.
        shape: of the micro-batch.
        numerics: how it computes.
        gradient_bytes: what stays of a parameter's gradient once it is there; 0 if it has been counted elsewhere.
        gathered: what FSDP has whole for a block or a head; by default it is not sharded.
    """
    costs: Costs = {}
    with FakeTensorMode(allow_non_fake_inputs=True):
        model, loss = build(config, numerics)
        live = LiveBytes([*model.parameters(), *loss.parameters(), *loss.buffers()])

        waiting = {id(p): p for p in model.parameters() if p.requires_grad}

        def arrived(parameter: Tensor) -> None:
            parameter.grad = None
            if waiting.pop(id(parameter), None) is not None:  # the first time: queries use the blocks a second time
                live.gradients += gradient_bytes(parameter)

        rest = dict(waiting)
        for parent, name, block in units(model):
            unused_state = parent is model.aggregator.global_blocks and not config.model.query_head
            setattr(parent, name, RepeatedBlock(block, costs, live, arrived, unused_state, gathered(block)))
            for parameter in block.parameters():
                rest.pop(id(parameter), None)
        for parameter in rest.values():
            parameter.register_post_accumulate_grad_hook(arrived)
        with live, _as_in_training(numerics):
            return _step(config, model, loss, shape, live)


def _step(config: RunConfig, model: ZipMap, loss: nn.Module, shape: StepShape, live: LiveBytes) -> StepMemory:
    """As `ZipMapModule.training_step` does it."""
    phases: dict[str, Moment] = {}

    def ends(phase: str) -> int:
        phases[phase] = live.peak
        live.forget_peak()
        return live.live

    def loss_of(batch: Batch) -> tuple[Tensor, int]:
        rays = None if batch.targets is None else batch.target_rays()
        prediction = model(batch.inputs().images, target_rays=rays)
        del rays
        after_forward = ends("forward")
        return loss(prediction, *ground_truth(batch))["total"], after_forward

    batch = empty_batch(config, shape)
    of_batch = live.live
    total, after_forward = loss_of(batch)
    ends("loss")
    # Tensor.backward would switch GpuAutocast off, and what is computed once more would differ.
    _engine_run_backward(
        (total,), (torch.ones_like(total),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )
    ends("backward")
    phase = max(phases, key=lambda name: phases[name].total)
    return StepMemory(of_batch, after_forward - of_batch, phases[phase], phase)


def build(config: RunConfig, numerics: Numerics) -> tuple[ZipMap, nn.Module]:
    """Model and losses without contents; call it under a FakeTensorMode."""
    with torch.device("meta"):
        model = ZipMap(config.model)
    narrow = "aggregator." if numerics.narrow_backbone else None
    _fill(model, lambda name: torch.bfloat16 if narrow and name.startswith(narrow) else torch.float32)
    query = None
    if config.data.batches == "state_query":
        perceptual = _empty_perceptual_distance() if config.stage.loss.query_perceptual else None
        query = QueryLoss(config.stage.loss, perceptual)
    return model.train(), ReconstructionLoss(config.stage.loss, query, config.model.reference_view)


def _fill(module: nn.Module, dtype_of: Callable[[str], torch.dtype]) -> None:
    """Give a module on the meta device parameters of the mode that is active."""
    values = {name: torch.empty(value.shape, dtype=dtype_of(name)) for name, value in module.state_dict().items()}
    module.load_state_dict(values, assign=True)


def _empty_perceptual_distance() -> PerceptualDistance:
    """LPIPS without the weights, which need not be on this machine."""
    import lpips

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision dislikes how lpips asks for VGG16
        network = lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False, verbose=False)
    _fill(network, lambda _: torch.float32)
    return PerceptualDistance(network)


def empty_batch(config: RunConfig, shape: StepShape) -> Batch:
    """A batch of that shape with every pixel valid, of the stage's kind."""
    scenes, views, height, width = shape.scenes, shape.views, shape.height, shape.width
    query = config.data.batches == "state_query"
    targets = target_count(views, config.data.images_per_gpu // scenes) if query else 0
    names = ["scene"] * scenes
    return Batch(
        images=torch.empty(scenes, views, 3, height, width),
        depth=torch.empty(scenes, views, height, width),
        mask=torch.empty(scenes, views, height, width, dtype=torch.bool),
        world_to_cam=torch.empty(scenes, views, 3, 4),
        intrinsics=torch.empty(scenes, views, 3, 3),
        normals=torch.empty(scenes, dtype=torch.bool),
        dataset=names,
        scene=names,
        frames=torch.empty(scenes, views, dtype=torch.long),
        input_count=input_count(views) if query else None,
        targets=torch.empty(scenes, targets, dtype=torch.long) if query else None,
    )


def units(model: ZipMap) -> list[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, module) of every block and head: what FSDP gathers at once (`training.sharding`), small rests apart."""
    backbone = model.aggregator
    lists = (backbone.patch_embed.blocks, backbone.frame_blocks, backbone.global_blocks)
    blocks = [(parent, name, block) for parent in lists for name, block in parent.named_children()]
    return blocks + [(model, name, head) for name, head in model.named_children() if head is not backbone]


@contextmanager
def _as_in_training(numerics: Numerics) -> Iterator[None]:
    """What Lightning's precision does around a training step, backward pass included."""
    with ExitStack() as contexts:
        contexts.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=numerics.autocast))
        if numerics.gpu_rules:
            contexts.enter_context(GpuAutocast())
        yield


class GpuAutocast(TorchFunctionMode):
    """Makes CPU autocast compute in float32 what autocast on a GPU does and our code uses: it allocates more."""

    WIDE = (F.layer_norm, torch.Tensor.norm, torch.linalg.vector_norm, F.softplus)

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        """Call `function`, on widened arguments where a GPU would widen them."""
        if function in self.WIDE and torch.is_autocast_enabled("cpu"):
            arguments = tuple(_widened(argument) for argument in arguments)
        return function(*arguments, **(keywords or {}))


def _widened(argument: Any) -> Any:
    narrow = isinstance(argument, Tensor) and argument.dtype == torch.bfloat16
    return argument.float() if narrow else argument
