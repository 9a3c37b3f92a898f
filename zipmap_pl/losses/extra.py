"""Loss terms of one's own: one file with one function, and one line of settings.

    stage.loss.extra: {flatness: 0.1}

adds 0.1 * flatness(prediction, truth) to the training loss and logs it as `loss/flatness`. The function `flatness` is in the
file `flatness.py` of this folder, or anywhere on the Python path by its dotted name, `my_losses.flatness`.
"""

import importlib
from collections.abc import Callable, Mapping

from torch import Tensor

from zipmap_pl import losses
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.errors import UserError
from zipmap_pl.losses.normalisation import GroundTruth

Term = Callable[[Prediction, GroundTruth], Tensor]


def load_terms(weights: Mapping[str, float], taken: set[str]) -> dict[str, tuple[Term, float]]:
    """Functions and their weights by the name of the term, which is that of the function.

    A function gets the prediction in the unit of the truth, in float32, and 0 where the truth is unknown
    (`truth.mask`), and returns a scalar.

    Args:
        weights: name of a file in this folder, which is that of its function, or dotted name of a function -> weight.
        taken: names that other terms have.

    Raises:
        UserError: there is no such function, or its name is taken.
    """
    terms: dict[str, tuple[Term, float]] = {}
    for path, weight in weights.items():
        module, _, name = path.rpartition(".")
        try:
            function = getattr(importlib.import_module(module or f"{losses.__name__}.{name}"), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(
                f"loss: extra names {path!r}: {error}; expected the name of a file in zipmap_pl/losses/ with a function of this"
                " name, or module.function that can be imported (PYTHONPATH=. lets files of the working folder be)"
            ) from error
        if not callable(function):
            raise UserError(f"loss: extra names {path!r}, which is no function but {function!r}")
        if name in taken or name in terms:
            raise UserError(
                f"loss: extra names {path!r}, but a term {name!r} is there already; give the function another name"
            )
        terms[name] = (function, weight)
    return terms
