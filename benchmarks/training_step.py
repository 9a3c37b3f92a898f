"""Images per second and peak memory of a training step by stage, and where its time goes.

    python benchmarks/training_step.py                        # a GPU if there is one, else a small model on the CPU
    python benchmarks/training_step.py --stages static state_query --rounds 5

On a GPU: the published size, up to 48 pictures of 518 x 518, bfloat16 autocast, activation checkpointing. Elsewhere:
`model=small` and a few small pictures on one CPU thread, of which only the ratios mean something. Weights, pictures and
cameras are random, LPIPS has random weights; they change no time. Model, losses, clipping, optimiser and averages are
those of training; the loader is not: "data" is the copy to the device. Exit status 1 if the losses, forward and
backward, take 10 % of a step or more.
"""

import argparse
import functools
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any
from unittest import mock

import torch
from measurement import machine_name, prepare_cpu, seconds_and_peak_bytes_of, seconds_of
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.losses import normalisation, query, reconstruction
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.perceptual import PerceptualDistance
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.config import CameraHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.mixers import fast_weight_operators  # noqa: F401  # registers the operators that are counted
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.step.ema import Ema
from zipmap_pl.training.step.optimizer import build_optimizer, clip_by_module, set_learning_rates
from zipmap_pl.training.step.optimizer_config import EmaConfig, OptimizerConfig

DATA, FORWARD, LOSS, LOSS_BACKWARD, BACKWARD, UPDATE = PARTS = (
    "data",
    "forward",
    "losses",
    "backward of losses",
    "backward of model",
    "optimiser",
)
LOSS_LIMIT = 0.10  # of a step, forward and backward together
NAMED_FROM = 0.05  # of a step: terms of the loss that are named
STEPS = 1000  # of the learning rate's schedule

# Dense bfloat16 TFLOP/s by what the device's name holds; the first that fits.
PEAK_TFLOPS = {"H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200 NVL": 835, "H200": 989, "A100": 312}


@dataclass(frozen=True)
class Size:
    """How large the model and its batches are.

    `batches`: stage -> scenes and views of a batch; of a state-query batch half of the views are inputs, half targets.
    """

    model: ModelConfig
    side: int
    batches: dict[str, tuple[int, int]]


STAGES = ("static", "affine_invariant", "state_query", "streaming_12")  # dynamic is static with other data
FULL = Size(
    ModelConfig(checkpoint_activations=True),
    518,
    {"static": (2, 24), "affine_invariant": (2, 24), "state_query": (1, 44), "streaming_12": (3, 12)},
)
SMALL = Size(
    ModelConfig(
        embed_dim=384,
        heads=6,
        checkpoint_activations=True,
        tokenizer=TokenizerConfig(depth=12, heads=6),
        ttt=TTTConfig(head_dim=384),
    ),
    98,
    dict.fromkeys(STAGES, (1, 4)) | {"streaming_12": (1, 2)},
)


@dataclass(frozen=True)
class Stage:
    """What a step needs to know of a stage of training."""

    name: str
    model: ModelConfig
    loss: LossConfig
    scenes: int
    views: int
    side: int

    @property
    def images(self) -> int:
        """Of a batch."""
        return self.scenes * self.views

    @property
    def inputs(self) -> int:
        """Views of a scene that the model sees; it is asked for the others."""
        return self.views // 2 if self.model.query_head else self.views


def stage_of(name: str, size: Size) -> Stage:
    """A stage by name, as conf/stage/ and conf/model/ have it."""
    model, loss = size.model, LossConfig()
    if name in ("affine_invariant", "streaming_12"):
        model = replace(model, reference_view=False)
    if name == "streaming_12":
        model = replace(model, camera_head=CameraHeadConfig(kind="mlp"))
    if name == "state_query":
        model = replace(model, query_head=True)
    return Stage(name, model, loss, *size.batches[name], size.side)


def synthetic_batch(stage: Stage) -> Batch:
    """A batch as it leaves the loader: random pictures of gently curved surfaces, a tenth of the depth unknown."""
    scenes, views, side = stage.scenes, stage.views, stage.side
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    slope = 0.3 * torch.rand(scenes, views, 2, 1, 1, generator=generator)
    depth = 2 + slope[:, :, 0] * x + slope[:, :, 1] * y + 0.1 * (6 * x).sin() * (6 * y).cos()
    mask = torch.rand(depth.shape, generator=generator) > 0.1
    turn = 0.2 * torch.randn(scenes, views, 3, 3, generator=generator)
    rotation = torch.linalg.matrix_exp(turn - turn.mT)
    intrinsics = torch.tensor([[side, 0, side / 2], [0, side, side / 2], [0, 0, 1.0]]).repeat(scenes, views, 1, 1)
    asked = torch.arange(stage.inputs, views).expand(scenes, -1).contiguous() if stage.model.query_head else None
    return Batch(
        images=torch.randint(256, (scenes, views, 3, side, side), generator=generator, dtype=torch.uint8),
        depth=depth * mask,
        mask=mask,
        extrinsics=torch.cat([rotation, torch.randn(scenes, views, 3, 1, generator=generator)], dim=-1),
        intrinsics=intrinsics,
        normals=torch.ones(scenes, dtype=torch.bool),
        dataset=["synthetic"] * scenes,
        scene=[str(number) for number in range(scenes)],
        frames=torch.arange(views).expand(scenes, -1).contiguous(),
        input_count=None if asked is None else stage.inputs,
        targets=asked,
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """What Lightning and the data module do with a batch; from page-locked memory if it lies there."""
    values = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    moved = {n: v.to(device, non_blocking=True) for n, v in values.items() if isinstance(v, Tensor)}
    return Batch(**{**values, **moved, "images": moved["images"].float().div_(255)})


class RandomVGG(nn.Module):
    """The network of LPIPS, layer by layer, with random weights: no package, no download."""

    def __init__(self) -> None:
        super().__init__()
        slices, channels = [], 3
        for index, (width, convolutions) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if index else []
            for _ in range(convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            slices.append(nn.Sequential(*layers))
        self.slices = nn.ModuleList(slices)
        self.lins = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in (64, 128, 256, 512, 512))
        for lin in self.lins:
            lin.weight.data.abs_()

    def scaling_layer(self, pictures: Tensor) -> Tensor:
        """Whitened colours."""
        return (pictures + 0.05) / 0.45

    def net(self, pictures: Tensor) -> list[Tensor]:
        """Features of the five levels."""
        levels = []
        for layers in self.slices:
            pictures = layers(pictures)
            levels.append(pictures)
        return levels


class Clock:
    """Seconds between moments: GPU events, or the CPU time of this thread."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.names: list[str] = []
        self.moments = [self._now()]

    def lap(self, name: str) -> None:
        """A part of the step ends."""
        self.names.append(name)
        self.moments.append(self._now())

    def seconds(self) -> dict[str, float]:
        """Of every part."""
        if self.device.type == "cuda":
            self.moments[-1].synchronize()
        pairs = zip(self.moments, self.moments[1:], strict=False)
        gone = [a.elapsed_time(b) / 1000 if self.device.type == "cuda" else b - a for a, b in pairs]
        return dict(zip(self.names, gone, strict=True))

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.thread_time()
        moment = torch.cuda.Event(enable_timing=True)
        moment.record()
        return moment


class Training:
    """A stage being trained on one batch, over and over."""

    def __init__(self, stage: Stage, device: torch.device) -> None:
        self.stage, self.device = stage, device
        torch.manual_seed(0)
        with device:
            self.model = ZipMap(stage.model).to(device).train()
            judge = QueryLoss(stage.loss, PerceptualDistance(RandomVGG())) if stage.model.query_head else None
        self.loss = ReconstructionLoss(stage.loss, judge, stage.model.reference_view).to(device)
        self.recipe = OptimizerConfig()
        self.optimizer = build_optimizer(self.model, self.recipe)
        self.ema = Ema(self.model, EmaConfig(start_step=0))
        batch = synthetic_batch(stage)
        self.batch = batch.pin_memory() if device.type == "cuda" else batch
        self.steps = 0

    def step(self) -> dict[str, float]:
        """One step as `training.module` takes it. Returns seconds by part.

        The backward pass is cut in two at the prediction, so that the losses' share of it shows; the gradients are
        the same.
        """
        clock = Clock(self.device)
        batch = to_device(self.batch, self.device)
        clock.lap(DATA)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            prediction = self.predict(batch)
            clock.lap(FORWARD)
            cut = leaves_of(prediction)
            total = self.loss(cut, *normalisation.ground_truth(batch))["total"]
        clock.lap(LOSS)
        total.backward()
        clock.lap(LOSS_BACKWARD)
        pairs = [pair for pair in zip(tensors_in(prediction), tensors_in(cut), strict=True) if pair[1].grad is not None]
        torch.autograd.backward([made for made, _ in pairs], [leaf.grad for _, leaf in pairs])
        clock.lap(BACKWARD)
        self._update(total.detach())
        clock.lap(UPDATE)
        return clock.seconds()

    def predict(self, batch: Batch) -> Prediction:
        """The forward pass."""
        return self.model(batch.inputs().images, target_rays=None if batch.targets is None else batch.target_rays())

    def _update(self, total: Tensor) -> None:
        set_learning_rates(self.optimizer, self.steps, STEPS, self.recipe)
        norms = clip_by_module(self.model, self.recipe)
        finite = bool(torch.stack([total, *norms.values()]).isfinite().all())
        if finite:
            self.optimizer.step()
        self.ema.update(self.steps, changed=finite)
        self.steps += 1
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def held(self) -> int:
        """Bytes of weights, averages, optimiser state and LPIPS: there also between two steps."""
        state = [value for of_one in self.optimizer.state.values() for value in of_one.values()]
        return sum(
            t.nbytes for t in (*self.model.parameters(), *self.loss.parameters(), *self.ema.averages.values(), *state)
        )


def tensors_in(value: object) -> list[Tensor]:
    """The tensors of a value that is or holds tensors, in order, each once."""
    found: dict[int, Tensor] = {}

    def look(part: object) -> None:
        if isinstance(part, Tensor):
            found.setdefault(id(part), part)
        elif isinstance(part, list | tuple):
            for one in part:
                look(one)
        elif is_dataclass(part):
            for entry in fields(part):
                look(getattr(part, entry.name))

    look(value)
    return list(found.values())


def leaves_of(value: Any, known: dict[int, Tensor] | None = None) -> Any:
    """The same with a leaf of its own in the place of every tensor that belongs to a graph; shared ones stay shared."""
    known = {} if known is None else known
    if isinstance(value, Tensor):
        if id(value) not in known:
            known[id(value)] = value.detach().requires_grad_(value.requires_grad)
        return known[id(value)]
    if isinstance(value, list | tuple):
        return type(value)(leaves_of(part, known) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{entry.name: leaves_of(getattr(value, entry.name), known) for entry in fields(value)})
    return value


# Term -> where the losses look the function up that computes it.
TERMS: dict[str, tuple[Any, str]] = {
    "ground truth": (normalisation, "ground_truth"),
    "alignment": (reconstruction, "align_prediction"),
    "points": (reconstruction, "local_point_loss"),
    "normals": (reconstruction, "normal_loss"),
    "depth confidence": (reconstruction, "depth_confidence_loss"),
    "depth regression": (reconstruction, "depth_regression_loss"),
    "depth gradient": (reconstruction, "depth_gradient_loss"),
    "query colour": (query, "colour_loss"),
    "query LPIPS": (PerceptualDistance, "forward"),
    "query depth confidence": (query, "depth_confidence_loss"),
    "query depth regression": (query, "depth_regression_loss"),
    "query depth gradient": (query, "depth_gradient_loss"),
}
CAMERA = "camera"


@dataclass(frozen=True)
class Recorded:
    """A call of a term as the losses made it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def again(self) -> None:
        """Forward, and backward to what it was given."""
        found = self.function(*leaves_of(self.arguments), **self.keywords)
        graph = [tensor for tensor in tensors_in(found) if tensor.requires_grad]
        if graph:
            torch.autograd.backward(graph, [torch.ones_like(tensor) for tensor in graph])


@contextmanager
def recording() -> Iterator[dict[str, Recorded]]:
    """Notes with what the terms of the loss are called inside."""
    calls: dict[str, Recorded] = {}

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def noted(*arguments: Any, **keywords: Any) -> Any:
            calls[name] = Recorded(function, leaves_of(arguments), keywords)
            return function(*arguments, **keywords)

        return noted

    with ExitStack() as stack:
        for name, (owner, attribute) in TERMS.items():
            stack.enter_context(mock.patch.object(owner, attribute, noting(name, getattr(owner, attribute))))
        cameras = {mode: noting(CAMERA, function) for mode, function in reconstruction.CAMERA_LOSSES.items()}
        stack.enter_context(mock.patch.dict(reconstruction.CAMERA_LOSSES, cameras))
        yield calls


@dataclass
class Measured:
    """A stage: seconds of every round by part, and of every term; bytes at the peak; FLOPs of a step or None."""

    stage: Stage
    rounds: list[dict[str, float]] = field(default_factory=list)
    terms: dict[str, float] = field(default_factory=dict)
    peak: int = 0
    flops: int | None = None

    @property
    def best(self) -> dict[str, float]:
        """The fastest round: the others were disturbed."""
        return min(self.rounds, key=lambda parts: sum(parts.values()))

    @property
    def seconds(self) -> float:
        """Of a step."""
        return sum(self.best.values())

    @property
    def loss_share(self) -> float:
        """Of a step: the losses, forward and backward."""
        return (self.best[LOSS] + self.best[LOSS_BACKWARD]) / self.seconds


def measure(stage: Stage, device: torch.device, rounds: int) -> Measured:
    """One stage after a step that warms up and one that is watched."""
    training = Training(stage, device)
    with recording() as calls:
        training.step()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        terms = {name: min(seconds_of(call.again, device) for _ in range(1 + rounds)) for name, call in calls.items()}
    del calls
    peak = training.held + seconds_and_peak_bytes_of(training.step, device)[1]
    found = [training.step() for _ in range(rounds)]
    flops = model_flops(stage) if device.type == "cuda" else None
    return Measured(stage, found, terms, peak, flops)


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
            raise NotImplementedError(f"{func}: write down its FLOPs in benchmarks/training_step.py")
        return func(*args, **(kwargs or {}))


def peak_tflops(device_name: str) -> float | None:
    """Of bfloat16 matrix products without sparsity, as the manufacturer says; None for a device that is not in the table."""
    return next((peak for name, peak in PEAK_TFLOPS.items() if name in device_name), None)


def faults_of(results: Sequence[Measured]) -> list[str]:
    """What is wrong, in words."""
    return [
        f"{found.stage.name}: the losses take {found.loss_share:.1%} of a step, expected less than {LOSS_LIMIT:.0%}"
        for found in results
        if found.loss_share >= LOSS_LIMIT
    ]


def step_table(results: Sequence[Measured], peak: float | None) -> str:
    """A line per stage: how fast, how large, and the share of every part, as Markdown."""
    head = ["stage", "images", "seconds", "images/s", "peak GiB", *PARTS, "losses in all"]
    head += ["share of peak FLOP/s"] if peak else []
    rows = []
    for found in results:
        row = [found.stage.name, str(found.stage.images), f"{found.seconds:.3g}"]
        row += [f"{found.stage.images / found.seconds:.3g}", f"{found.peak / 2**30:.3g}"]
        row += [f"{found.best[part] / found.seconds:.1%}" for part in PARTS] + [f"{found.loss_share:.1%}"]
        if peak:
            row.append("-" if found.flops is None else f"{found.flops / found.seconds / peak / 1e12:.1%}")
        rows.append(row)
    return _markdown(head, rows)


def term_table(results: Sequence[Measured]) -> str:
    """A line per term of the loss: its share of each stage's step, forward and backward, as Markdown."""
    names = [name for name in (*TERMS, CAMERA) if any(name in found.terms for found in results)]
    rows = [
        [name, *(f"{found.terms[name] / found.seconds:.1%}" if name in found.terms else "-" for found in results)]
        for name in names
    ]
    return _markdown(["term", *(found.stage.name for found in results)], rows)


def large_terms(results: Sequence[Measured]) -> str:
    """One line that names the terms above 5 % of their stage's step."""
    large = [
        f"{name} ({found.stage.name}, {seconds / found.seconds:.1%})"
        for found in results
        for name, seconds in found.terms.items()
        if seconds > NAMED_FROM * found.seconds
    ]
    return f"Above {NAMED_FROM:.0%} of a step: {', '.join(large) or 'no term'}."


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ruler, *rows])


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--rounds", type=int, default=3, help="timed steps, of which the fastest counts (default: 3)")
    parser.add_argument("--side", type=int, help="of the square pictures, a multiple of 14")
    parser.add_argument("--views", type=int, help="of one scene, instead of the stage's batch")
    parser.add_argument("--cpu", action="store_true", help="the small model on the CPU, although there is a GPU")
    chosen = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() and not chosen.cpu else "cpu")
    if device.type == "cpu":
        prepare_cpu()
    size = FULL if device.type == "cuda" else SMALL
    if chosen.side:
        size = replace(size, side=chosen.side)
    if chosen.views:
        size = replace(size, batches=dict.fromkeys(STAGES, (1, chosen.views)))
    results = [measure(stage_of(name, size), device, chosen.rounds) for name in chosen.stages]
    precision = "bfloat16 autocast" if device.type == "cuda" else "float32"
    print(f"{machine_name(device)}; torch {torch.__version__}; {precision}; pictures of {size.side} x {size.side}.\n")
    print(
        f"{step_table(results, peak_tflops(machine_name(device)))}\n\n{term_table(results)}\n\n{large_terms(results)}"
    )
    faults = faults_of(results)
    print("\n".join(["", *faults]) if faults else f"The losses take less than {LOSS_LIMIT:.0%} of every step.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
