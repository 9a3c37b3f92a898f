"""Do tensors fit a model, and are they numbers? The answer names what does not, in one line."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from zipmap_pl.errors import DamagedFile, UserError

NAMED = 3  # of each kind of misfit
WEIGHT_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


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


def as_float32(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors in float32, where they are. Raises UserError for what weights cannot be. `name` is the file's.

    Refused are integers, booleans, complex numbers, floats of 8 bits (whose scale is missing), sparse and quantized tensors,
    and tensors without values (on the meta device).
    """
    for key, tensor in tensors.items():
        if tensor.is_meta:
            raise UserError(
                f"{name}: {key} has no values (meta device), expected numbers; save the model with its weights"
            )
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.dtype not in WEIGHT_TYPES:
            kind = "" if tensor.layout == torch.strided else f"{_plain(tensor.layout)} "
            allowed = ", ".join(map(_plain, WEIGHT_TYPES))
            raise UserError(f"{name}: {key} is {kind}{_plain(tensor.dtype)}, expected a dense tensor of {allowed}")
    return {key: tensor.float() for key, tensor in tensors.items()}


def require_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise DamagedFile if a number is infinite or NaN. `name` is the file's."""
    bad = [key for key, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise DamagedFile(
            f"{name}: {len(bad)} tensors with numbers that are not finite ({some_of(bad)}), expected none; "
            "take another checkpoint"
        )


def some_of(keys: Iterable[str]) -> str:
    """The first few of many names."""
    keys = list(keys)
    return ", ".join(keys[:NAMED]) + (", ..." if len(keys) > NAMED else "")


def _plain(kind: object) -> str:
    return str(kind).removeprefix("torch.")
