"""The terms of the losses, each recorded as the losses call it, so that it can be timed on its own."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from timed_step import leaves_of, tensors_in

from zipmap_pl.losses import normalisation, query, reconstruction
from zipmap_pl.losses.perceptual import PerceptualDistance

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
        for name in ("reference_view_loss", "affine_invariant_loss"):  # one of the two is called
            stack.enter_context(mock.patch.object(reconstruction, name, noting(CAMERA, getattr(reconstruction, name))))
        yield calls
