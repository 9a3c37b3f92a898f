"""Running means of named numbers, exact on any number of ranks and for batches of any size."""

import torch
from torch import Tensor
from torchmetrics import Metric

BASELINE = "_baseline"


class RunningMeans(Metric):
    """Means of named numbers, and of the same numbers for a predictor that knows nothing (`<name>_baseline`).

    The states are sums and counts, which ranks add up.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names + tuple(name + BASELINE for name in names)
        self.add_state("sums", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, name: str, values: Tensor, valid: Tensor | None = None) -> None:
        """Adds values of any shape, those where `valid` (same shape, bool) holds."""
        valid = torch.ones_like(values, dtype=torch.bool) if valid is None else valid
        column = self.names.index(name)
        self.sums[column] += values.masked_fill(~valid, 0.0).sum(dtype=torch.float64)
        self.counts[column] += valid.sum()

    def compute(self) -> dict[str, Tensor]:
        """Mean by name; without those that nothing was added to, such as a trajectory where scenes have two views."""
        means = (self.sums / self.counts).float()
        return {name: means[column] for column, name in enumerate(self.names) if self.counts[column] > 0}
