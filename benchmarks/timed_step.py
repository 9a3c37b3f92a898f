"""A training step that says how long each of its parts took."""

import time
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from step_stages import Stage, synthetic_batch, to_device
from torch import Tensor, nn

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.losses import normalisation
from zipmap_pl.losses.perceptual import PerceptualDistance
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.reconstruction import ReconstructionLoss
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
STEPS = 1000  # of the learning rate's schedule


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
