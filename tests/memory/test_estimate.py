"""The estimated memory of a step is what a real step on this CPU allocates, and the arithmetic around it is right."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType

from zipmap_pl.datasets.draws.draw import StepShape
from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.memory import estimate
from zipmap_pl.memory.advice import most_images, sensible_images, with_images, without_averages
from zipmap_pl.memory.estimate import (
    CONTEXT_BYTES,
    GIB,
    Sharing,
    estimate_memory,
    largest_shape,
    parameters_of_slice,
    sharing_of,
)
from zipmap_pl.memory.live_bytes import Moment
from zipmap_pl.memory.step_memory import Numerics, StepMemory, empty_batch, step_memory
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import RunConfig, compose
from zipmap_pl.training.parallel.strategies import World

IMAGE = 16 * 2**20
ALONE = World(1, 1, None)
LEAN = ["model.checkpoint_activations=true", "model.dense_head.views_per_chunk=4"]
STREAMING = [
    "data.batches=streaming",
    "data.views=[4,4]",
    "model.reference_view=false",
    "model.camera_head.kind=mlp",
]
QUERY = ["data.batches=state_query", "model.query_head=true", "stage.loss.query_perceptual=0"]


def real_step(config: RunConfig, shape: StepShape) -> tuple[ZipMap, Callable[[], None]]:
    """A model, and a step with it: batch, forward pass under autocast, losses, backward pass, gradients dropped."""
    torch.manual_seed(0)
    model = ZipMap(config.model).train()
    query = QueryLoss(config.stage.loss) if config.data.batches == "state_query" else None
    loss = ReconstructionLoss(config.stage.loss, query, config.model.reference_view)

    def step() -> None:
        batch = empty_batch(config, shape)
        batch.images.uniform_()
        batch.depth.uniform_(1, 3)
        batch.mask.fill_(True)
        batch.normals.fill_(True)
        batch.world_to_cam.copy_(torch.eye(4)[:3])
        batch.world_to_cam[:, :, 0, 3] = torch.arange(shape.views) / 4
        batch.intrinsics.copy_(torch.tensor([[30.0, 0, 28], [0, 30, 28], [0, 0, 1]]))
        if batch.targets is not None:
            batch.targets.fill_(0)
        with torch.autocast("cpu", torch.bfloat16):
            rays = None if batch.targets is None else batch.target_rays()
            total = loss(model(batch.inputs().images, target_rays=rays), *ground_truth(batch))["total"]
            del rays
            total.backward()
        model.zero_grad(set_to_none=True)

    return model, step


@pytest.fixture
def profiled_bytes(monkeypatch):
    """What a step allocates at most, by the profiler, gradients included."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    measurement = importlib.import_module("measurement")

    def measure(step: Callable[[], None]) -> int:
        step()  # what is made once is made
        return measurement.seconds_and_peak_bytes_of(step, torch.device("cpu"))[1]

    return measure


def tracked_bytes(model: ZipMap, step: Callable[[], None]) -> int:
    """What a step has alive at most besides the weights, by PyTorch's own tracker: of all tensors that operations return."""
    tracker = MemTracker()
    model.requires_grad_(True)  # the tracker cannot hook into what is not trained
    tracker.track_external(model)
    with tracker:
        step()
    peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    return sum(size for kind, size in peak.items() if kind not in ("Total", _MemRefType.PARAM, _MemRefType.BUFFER))


def counted(config: RunConfig, shape: StepShape, numerics: Numerics) -> int:
    return step_memory(config, shape, numerics, lambda parameter: 4 * parameter.numel()).peak.total


@pytest.mark.parametrize(
    ("changes", "scenes", "limit"),
    [
        ([], 2, 0.03),
        (LEAN, 2, 0.01),
        pytest.param([*STREAMING, *LEAN], 1, 0.01, marks=pytest.mark.long),
        # So small that the gradients of the model decide.
        pytest.param([*QUERY, *LEAN], 1, 0.1, marks=pytest.mark.long),
    ],
    ids=["plain", "checkpointing", "streaming", "query"],
)
def test_a_step_takes_what_is_counted(profiled_bytes, changes: list[str], scenes: int, limit: float) -> None:
    config, shape = compose(changes), StepShape(4, 56, 56, scenes)
    found = counted(config, shape, Numerics(gpu_rules=False))
    assert found == pytest.approx(profiled_bytes(real_step(config, shape)[1]), rel=limit)


# Measured with torch 2.14: -1.5 %, -0.001 %, +2.6 % and +5.1 %. The tracker does not see what our own operators
# allocate inside, which counts in the last two: there the estimate has to be the larger one.
@pytest.mark.parametrize(
    ("changes", "scenes", "lowest", "highest"),
    [
        pytest.param([], 2, 0.98, 1.0, marks=pytest.mark.long),
        pytest.param(LEAN, 2, 0.999, 1.001, marks=pytest.mark.long),
        pytest.param([*STREAMING, *LEAN], 1, 1.0, 1.04, marks=pytest.mark.long),
        pytest.param([*QUERY, *LEAN], 1, 1.0, 1.07, marks=pytest.mark.long),
    ],
    ids=["plain", "checkpointing", "streaming", "query"],
)
def test_the_memory_tracker_of_pytorch_agrees(changes: list[str], scenes: int, lowest: float, highest: float) -> None:
    config, shape = compose(changes), StepShape(4, 56, 56, scenes)
    found = counted(config, shape, Numerics(gpu_rules=False))
    assert lowest <= found / tracked_bytes(*real_step(config, shape)) <= highest


@pytest.mark.long
def test_memory_grows_in_proportion_to_the_images() -> None:
    config = compose(LEAN)
    few, more, most = (counted(config, StepShape(4, 56, 56, scenes), Numerics()) for scenes in (2, 4, 8))
    assert most - more == pytest.approx(2 * (more - few), rel=0.01)
    in_one_scene = counted(config, StepShape(16, 56, 56, 1), Numerics())
    assert in_one_scene == pytest.approx(more, rel=0.02)  # how many scenes they are in matters little


def test_autocast_on_a_gpu_keeps_more_in_float32() -> None:
    config, shape = compose([]), StepShape(2, 56, 56, 1)
    assert counted(config, shape, Numerics()) > counted(config, shape, Numerics(gpu_rules=False))


@pytest.fixture
def step_by_rule(monkeypatch):
    """Steps that take 16 MiB for each image, and nothing has to be counted."""

    def step(config: RunConfig, shape: StepShape, *_: object) -> StepMemory:
        activations = shape.scenes * shape.views * IMAGE
        return StepMemory(0, activations, Moment(tensors=activations), "loss")

    monkeypatch.setattr(estimate, "step_memory", step)


@pytest.mark.usefixtures("step_by_rule")
def test_the_published_parameters_are_all_there() -> None:
    config = compose(["stage=static"])
    alone, sharded = (estimate_memory(config, World(1, devices, None), 80 * GIB) for devices in (1, 8))
    count = sum(alone.groups.values())
    assert 1.3e9 < count < 1.45e9
    assert alone.parameters == 4 * count
    assert alone.optimizer == pytest.approx(2 * alone.parameters, rel=0.001)
    assert alone.averages == pytest.approx(alone.parameters, rel=0.001)
    assert alone.phase == "update"  # 48 x 16 MiB of activations are less than all gradients
    assert alone.gradients == alone.averages
    assert sharded.parameters == pytest.approx(alone.parameters / 8, rel=0.01)
    assert alone.total == alone.tensors + alone.reserve
    assert alone.reserve == pytest.approx(CONTEXT_BYTES + 0.05 * alone.tensors, abs=2)
    assert alone.total - without_averages(alone).total == pytest.approx(1.05 * alone.averages, abs=2)


def test_sharing_follows_the_settings() -> None:
    config = compose([])

    def sharing(strategy: str, world: World, images: int | None = None) -> Sharing:
        return sharing_of(
            replace(config, trainer=replace(config.trainer, strategy=strategy, global_images=images)), world
        )

    node, nodes = World(1, 8, None), World(4, 8, None)
    assert sharing("auto", ALONE) == Sharing("single", 1, 1, 1)
    assert sharing("auto", node) == Sharing("fsdp", 8, 8, 1)
    assert sharing("auto", nodes) == Sharing("hsdp", 8, 32, 1)
    assert sharing("fsdp", nodes).shards == 32
    assert sharing("ddp", node).gradients_stay
    assert not sharing("fsdp", node).gradients_stay
    assert sharing("fsdp", node, images=2 * 8 * 16).accumulation == 2
    assert sharing("fsdp", node, images=2 * 8 * 16).gradients_stay


@pytest.mark.usefixtures("step_by_rule")
def test_gradients_that_stay_are_counted_during_the_step() -> None:
    config = compose([])
    once = estimate_memory(config, ALONE, GIB)
    several = estimate_memory(replace(config, trainer=replace(config.trainer, global_images=32)), ALONE, GIB)
    assert (once.phase, once.gradients, once.kept) == ("loss", 0, 16 * IMAGE)
    assert several.total - once.total == pytest.approx(1.05 * several.gradients, rel=0.01)
    assert several.gradients == once.averages


def test_slices_are_the_largest_ones() -> None:
    parameter = torch.empty(10, 6, device="meta")
    assert [parameters_of_slice(parameter, shards) for shards in (1, 2, 3, 8)] == [60, 30, 24, 12]
    assert parameters_of_slice(torch.empty(1, 8, 16, device="meta"), 8) == 16


def test_the_step_that_takes_most_has_the_largest_pictures() -> None:
    config = compose(["stage=static"])
    assert largest_shape(config) == StepShape(2, 518, 518, 24)
    assert largest_shape(with_images(config, 47)) == StepShape(47, 518, 518, 1)
    assert sensible_images(compose(["stage=streaming_12"]), 40) == [*range(2, 13), 24, 36]


@pytest.mark.usefixtures("step_by_rule")
@pytest.mark.parametrize("images", [2, *(pytest.param(few, marks=pytest.mark.long) for few in (3, 8, 11, 16))])
def test_the_largest_number_of_images_that_fits(images: int) -> None:
    config = compose([])
    capacity = estimate_memory(with_images(config, images), ALONE, GIB).total + IMAGE // 2
    found = most_images(config, ALONE, capacity, limit=16)
    assert found is not None
    views = f" data.views=[2,{images}]" if images < 4 else ""
    assert found.settings == f"data.images_per_gpu={images}{views}"
    assert found.estimate.fits
    assert most_images(config, ALONE, GIB, limit=16) is None  # less than the reserve
