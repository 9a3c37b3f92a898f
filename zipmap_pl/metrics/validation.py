"""All metrics of a validation, as one."""

from torch import nn
from torchmetrics import MetricCollection

from zipmap_pl.metrics.query import QueryMetric
from zipmap_pl.metrics.reconstruction import ReconstructionMetric


def validation_metrics(queries: bool, perceptual: nn.Module | None = None) -> MetricCollection:
    """Metrics with `update(prediction, batch)` and `compute()` -> numbers by name.

    queries: the model is asked for views, which are judged too, with the `perceptual` distance (see `QueryMetric`)
    where there is one.
    """
    metrics = [ReconstructionMetric(), QueryMetric(perceptual)] if queries else [ReconstructionMetric()]
    return MetricCollection(metrics, compute_groups=False)
