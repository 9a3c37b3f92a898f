"""A running average of the weights (EMA), kept on the same devices and shards as the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from zipmap_pl.errors import UserError
from zipmap_pl.training.step.optimizer_config import EmaConfig
from zipmap_pl.training.step.slices import sharded_like, slice_of


class Ema:
    """The average of the trainable parameters of a model; those of a sharded one are averaged slice by slice.

    It is the weights themselves after step `start_step` (counted from 0), and from there on
    average = decay * average + (1 - decay) * weights after every optimiser step. Make it when the parameters are where
    they stay (on the device, sharded): all operations are element-wise and work on local shards.

    Attributes:
        averages: parameter name -> average, the same kind of tensor as the parameter.
    """

    def __init__(self, model: nn.Module, config: EmaConfig) -> None:
        self.config = config
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.averages = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int, changed: bool) -> None:
        """Take in what step `step` (from 0) made of the weights; a skipped step, not `changed`, leaves an average as it is."""
        averages, weights = _slices(self.averages), _slices(self.parameters)
        if step == self.config.start_step:
            torch._foreach_copy_(averages, weights)
        elif step > self.config.start_step and changed:
            torch._foreach_lerp_(averages, weights, 1 - self.config.decay)

    def started(self, steps: int) -> bool:
        """Whether there is an average after so many steps; before that the copy of the weights means nothing."""
        return steps > self.config.start_step

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model has the averages as its weights inside, and its own again after."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def load(self, averages: Mapping[str, Tensor]) -> None:
        """Take over the averages of a checkpoint, whole tensors by parameter name. Raises UserError if they do not fit."""
        if averages.keys() != self.averages.keys():
            odd = min(averages.keys() ^ self.averages.keys())
            raise UserError(
                f"averaged weights: found other parameters than the model's, one is {odd}; take another checkpoint"
            )
        for name, average in self.averages.items():
            average.copy_(sharded_like(averages[name], average))

    @torch.no_grad()
    def _swap(self) -> None:
        for weights, average in zip(_slices(self.parameters), _slices(self.averages), strict=True):
            before = weights.clone()
            weights.copy_(average)
            average.copy_(before)


def _slices(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """What this process holds of each."""
    return [slice_of(tensor.detach()) for tensor in tensors.values()]
