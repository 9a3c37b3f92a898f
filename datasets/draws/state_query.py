"""State-query samples: which views the state is made from (inputs), and which it is asked for (targets).

The published split (ZipMap's state-query fine-tuning): the first and the last view and a random half of an even subset
of the others are inputs; targets are all the rest and one of the inputs, as far as the cap on images allows.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ViewSplit:
    """A split of S views.

    Attributes:
        order: [S] int64, places in the list of views: the inputs (first view, last view, others), then the rest.
        inputs: how many of `order` are inputs.
        targets: [T] int64, places in `order`.
    """

    order: np.ndarray
    inputs: int
    targets: np.ndarray


def input_count(views: int) -> int:
    """Number of inputs out of so many views: half of them, at least 2."""
    return max(2, views // 2)


def target_count(views: int, cap: int) -> int:
    """Number of targets, where inputs and targets together may be `cap` images; at least 1."""
    inputs = input_count(views)
    return max(1, min(cap - inputs, views + 1 - inputs))


def split_views(rng: np.random.Generator, views: int, cap: int) -> ViewSplit:
    """Split `views` >= 2 views; `cap`: number of images that a scene may have, inputs and targets together."""
    inputs = input_count(views)
    stride = max(1, views // (inputs - 1))
    between = rng.permutation(np.arange(stride, views - 1, stride))[: inputs - 2]
    chosen = np.concatenate([[0, views - 1], between]).astype(np.int64)
    rest = np.setdiff1d(np.arange(views), chosen)
    candidates = np.append(np.arange(inputs, views), rng.integers(inputs))
    targets = rng.permutation(candidates)[: target_count(views, cap)]
    return ViewSplit(np.concatenate([chosen, rest]), inputs, targets)
