"""Do tensors fit a model? The answer names what does not, in one line."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from zipmap_pl.errors import UserError

NAMED = 3  # of each kind of misfit


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Key -> shape."""
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def require_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], name: str, advice: str) -> None:
    """Raise a UserError if keys or shapes differ. `name` is the file's, `advice` what to do about it."""
    wanted, shapes = shapes_of(expected), shapes_of(found)
    differing = [key for key in wanted if key in shapes and wanted[key] != shapes[key]]
    faults = {
        "missing": [key for key in wanted if key not in shapes],
        "not known": [key for key in shapes if key not in wanted],
        "of another shape": [f"{key} {shapes[key]}, expected {wanted[key]}" for key in differing],
    }
    told = [f"{len(keys)} {kind} ({some_of(keys)})" for kind, keys in faults.items() if keys]
    if told:
        raise UserError(f"{name}: its tensors do not fit the model: {'; '.join(told)}; {advice}")


def some_of(keys: Iterable[str]) -> str:
    """The first few of many names."""
    keys = list(keys)
    return ", ".join(keys[:NAMED]) + (", ..." if len(keys) > NAMED else "")
