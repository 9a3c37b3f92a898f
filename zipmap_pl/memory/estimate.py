"""How much memory of each GPU a stage takes, computed before a run; no weights, no data and no GPU are needed.

Parameters, gradients, optimiser and averages follow from their sizes and from how the strategy cuts them; what a step
allocates besides is counted on tensors without contents (`step_memory`). Nothing of it has been measured on a GPU.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from zipmap_pl.datasets.draws.draw import StepShape, height_for
from zipmap_pl.memory.live_bytes import Moment
from zipmap_pl.memory.repeated_block import Gathered
from zipmap_pl.memory.step_memory import Numerics, StepMemory, build, step_memory, units
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.parallel.sharding import shard_dimension
from zipmap_pl.training.parallel.strategies import ShardingStrategy, World, build_strategy
from zipmap_pl.training.stages import accumulation_for, check_stage

GIB = 2**30
WIDE, NARROW = 4, 2  # bytes of a float32, of a bfloat16
ADAMW_MOMENTS = 2
CONTEXT_BYTES = 3 * GIB // 2  # CUDA context, kernels, workspaces of cuBLAS and cuDNN, buffers of NCCL
FRAGMENTATION = 0.05  # of the tensors: what the allocator cannot make use of


@dataclass(frozen=True)
class Sharing:
    """How the processes share a model.

    Attributes:
        name: as the user knows it: single, ddp, fsdp or hsdp.
        shards: into how many slices every parameter is cut; 1 = whole.
        processes: how many there are.
        accumulation: micro-batches of each per optimiser step.
    """

    name: str
    shards: int
    processes: int
    accumulation: int

    @property
    def sharded(self) -> bool:
        """Whether FSDP gathers parameters, be it from one slice."""
        return self.name in ("fsdp", "hsdp")

    @property
    def gradients_stay(self) -> bool:
        """Whether the gradients of all parameters are there whole during a step: DDP's buckets, or earlier micro-batches."""
        return self.name == "ddp" or self.accumulation > 1


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one GPU at the fullest moment of a step.

    Attributes:
        groups: number of parameters by part of the model.
        parameters, optimizer, averages: float32 slices of this GPU, there all the time.
        perceptual: weights of LPIPS.
        gradients: at that moment.
        gathered: parameters and gradients that FSDP has whole at that moment.
        batch: pictures, depth, masks and cameras.
        kept: what the forward pass keeps for the backward pass.
        working: what is alive besides, in losses and backward pass.
        reserve: for what is not tensors.
        capacity: of the GPU.
        shape: of the step that takes most.
        phase: when that is: forward, loss, backward or update.
        sharing: how the processes share the model.
    """

    groups: dict[str, int]
    parameters: int
    optimizer: int
    averages: int
    perceptual: int
    gradients: int
    gathered: int
    batch: int
    kept: int
    working: int
    reserve: int
    capacity: int
    shape: StepShape
    phase: str
    sharing: Sharing

    @property
    def tensors(self) -> int:
        """All but the reserve."""
        lasting = self.parameters + self.optimizer + self.averages + self.perceptual
        return lasting + self.gradients + self.gathered + self.batch + self.kept + self.working

    @property
    def total(self) -> int:
        """What the GPU must have."""
        return self.tensors + self.reserve

    def with_reserve(self) -> "MemoryEstimate":
        """The same with the reserve that its tensors ask for."""
        return replace(self, reserve=CONTEXT_BYTES + math.ceil(FRAGMENTATION * self.tensors))

    @property
    def fits(self) -> bool:
        """Whether it has."""
        return self.total <= self.capacity


def estimate_memory(config: RunConfig, world: World, capacity: int) -> MemoryEstimate:
    """The estimate of a stage on GPUs of `capacity` bytes, for the shape of a step that takes most.

    Raises:
        UserError: settings that do not fit each other.
    """
    check_stage(config)
    return estimate_of_shape(config, world, capacity, largest_shape(config))


def largest_shape(config: RunConfig) -> StepShape:
    """The largest pictures, and as many of them as the stage ever has; of equal numbers those with most scenes.

    How they are spread over scenes matters little: blocks of many scenes have many fast weights, but one after another.
    """
    data = config.data
    height = height_for(data.aspect[1], data.width, config.model.patch_size)

    def images(views: int) -> tuple[int, int]:
        scenes = max(1, data.images_per_gpu // views)
        return scenes * views, scenes

    views = max(range(data.views[0], data.views[1] + 1), key=images)
    return StepShape(views, height, data.width, images(views)[1])


def estimate_of_shape(config: RunConfig, world: World, capacity: int, shape: StepShape) -> MemoryEstimate:
    """The estimate for one shape of a step."""
    sharing = sharing_of(config, world)
    numerics = numerics_of(config, sharing)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model, loss = build(config, Numerics())
        held = {name: parameters_of_slice(p, sharing.shards) for name, p in model.named_parameters()}
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        groups = parameter_groups(model)
        perceptual = sum(p.nbytes for p in loss.parameters())
    here = WIDE * sum(held[name] for name in trained)
    step = step_memory(config, shape, numerics, gradient_bytes(sharing), gathered_by(model, sharing, numerics))
    moment, phase = fullest(step, here, resident_gradients(model, sharing))
    in_step = max(0, moment.tensors - step.batch)
    kept = min(step.kept, in_step)
    estimate = MemoryEstimate(
        groups=groups,
        parameters=WIDE * sum(held.values()),
        optimizer=ADAMW_MOMENTS * here,
        averages=here if config.stage.ema.decay > 0 else 0,
        perceptual=perceptual,
        gradients=moment.gradients,
        gathered=moment.gathered,
        batch=min(step.batch, moment.tensors),
        kept=kept,
        working=in_step - kept,
        reserve=0,
        capacity=capacity,
        shape=shape,
        phase=phase,
        sharing=sharing,
    )
    return estimate.with_reserve()


def sharing_of(config: RunConfig, world: World) -> Sharing:
    """How `trainer.strategy` shares a model on these processes."""
    strategy = build_strategy(config.trainer.strategy, world)
    accumulation = accumulation_for(config, world.size)
    if isinstance(strategy, ShardingStrategy):
        name = "fsdp" if strategy.replicas == 1 else "hsdp"
        return Sharing(name, strategy.shards, world.size, accumulation)
    return Sharing("single" if strategy == "auto" else "ddp", 1, world.size, accumulation)


def numerics_of(config: RunConfig, sharing: Sharing) -> Numerics:
    """How the stage computes on a GPU."""
    mixed = config.trainer.precision != "32-true"
    return Numerics(autocast=mixed, narrow_backbone=mixed and sharing.sharded)


def parameters_of_slice(parameter: Tensor, shards: int) -> int:
    """How many numbers of a parameter a process holds: the largest slice, to which FSDP pads the others."""
    shape = tuple(parameter.shape)
    if shards == 1 or not shape:
        return parameter.numel()
    cut = shard_dimension(shape, shards)
    return parameter.numel() // max(shape[cut], 1) * math.ceil(shape[cut] / shards)


def parameter_groups(model: ZipMap) -> dict[str, int]:
    """Number of parameters by part of the model."""
    backbone = model.aggregator
    groups = {
        "tokenizer": _numbers(backbone.patch_embed),
        "frame blocks": _numbers(backbone.frame_blocks),
        "scene blocks": _numbers(backbone.global_blocks),
    }
    groups["special tokens"] = _numbers(backbone) - sum(groups.values())
    heads = ((name, head) for name, head in model.named_children() if head is not backbone)
    return groups | {name.replace("_", " "): _numbers(head) for name, head in heads}


def _numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def gradient_bytes(sharing: Sharing) -> Callable[[Tensor], int]:
    """What a gradient takes from when it is there until the optimiser's step, beyond `resident_gradients`."""
    if sharing.gradients_stay:
        return lambda _: 0
    return lambda parameter: WIDE * parameters_of_slice(parameter, sharing.shards)


def resident_gradients(model: ZipMap, sharing: Sharing) -> int:
    """Gradients that are there whole for the whole step, float32 (FSDP cuts those of the last micro-batch only)."""
    if not sharing.gradients_stay:
        return 0
    return WIDE * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def gathered_by(model: ZipMap, sharing: Sharing, numerics: Numerics) -> Callable[[nn.Module], Gathered]:
    """What FSDP2 has whole while a block or a head computes, by the number of its parameters.

    Forwards its parameters, the buffer they came in, and the buffer of the next unit. Backwards its parameters, the
    buffer of the next unit, and the float32 gradients that are being summed of itself and of the unit before. Its own
    gradients, before that, are among the tensors of the step.
    """
    if not sharing.sharded:
        return lambda _: Gathered()
    blocks = [module for parent, _, module in units(model) if parent is not model]
    kinds = {type(block) for block in blocks}
    narrow = NARROW if numerics.narrow_backbone else WIDE
    neighbour = max(map(_numbers, blocks))

    def gathered(module: nn.Module) -> Gathered:
        own, size = _numbers(module), narrow if type(module) in kinds else WIDE
        next_one = neighbour * narrow
        return Gathered(2 * own * size + next_one, own * size + next_one + WIDE * (own + neighbour))

    return gathered


def fullest(step: StepMemory, gradients_here: int, resident: int) -> tuple[Moment, str]:
    """The fullest moment: of forward pass, loss and backward pass, or of the update with all gradients and nothing else."""
    in_step = replace(step.peak, gradients=step.peak.gradients + resident)
    update = Moment(gradients=max(gradients_here, resident))
    return (in_step, step.phase) if in_step.total >= update.total else (update, "update")
