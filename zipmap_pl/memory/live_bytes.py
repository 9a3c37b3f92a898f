"""Counts the bytes of tensors that are alive while a step runs on tensors without contents.

Fake tensors (`torch._subclasses.FakeTensorMode`) have shapes, types and storages of a size, but no memory. Every operation
runs through here, and its results count until nobody refers to their storage any more: what an allocator would see.
"""

import weakref
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from zipmap_pl.losses.quantile import MIN_ELEMENTS
from zipmap_pl.models.layers.opaque_operators import BODIES


@dataclass(frozen=True)
class Moment:
    """Bytes at one time: of tensors that operations have made, of gradients of parameters, of parameters gathered by FSDP."""

    tensors: int = 0
    gradients: int = 0
    gathered: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.tensors + self.gradients + self.gathered


class LiveBytes(TorchDispatchMode):
    """Use it as a context, inside a FakeTensorMode.

    Attributes:
        live: bytes of the storages that are alive and were made in this context.
        gradients: bytes of gradients that have arrived; who counts them here has to free their tensors.
        peak: the moment with the most, since the beginning or `forget_peak`.
    """

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = self.gradients = 0
        self.peak = Moment()
        self._known: Any = WeakIdKeyDictionary()
        self._inside_operators: dict[tuple, int] = {}
        for tensor in ignored:
            self._known[tensor.untyped_storage()] = 0

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], arguments: tuple = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation, on the modes below."""
        if function is torch.ops.aten._local_scalar_dense.default:
            return _answer(arguments[0])
        if function.name() in BODIES:
            self.touch(self._most_inside(function, arguments))
        made = function(*arguments, **(keywords or {}))
        for tensor in _tensors(made):
            self._add(tensor.untyped_storage())
        return made

    def touch(self, more: int = 0, gathered: int = 0) -> None:
        """Note the present moment, with `more` bytes of tensors and `gathered` parameters that are alive in it only."""
        if self.live + more + self.gradients + gathered > self.peak.total:
            self.peak = Moment(self.live + more, self.gradients, gathered)

    def forget_peak(self) -> None:
        """Begin a new maximum."""
        self.peak = Moment(self.live, self.gradients)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What happens inside leaves the maximum as it is."""
        before = self.peak
        try:
            yield
        finally:
            self.peak = before

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = size
        self.live += size
        weakref.finalize(storage, self._drop, size)
        self.touch()

    def _drop(self, size: int) -> None:
        self.live -= size

    def _most_inside(self, function: Any, arguments: tuple) -> int:
        """What one of our operators has alive inside at most, its results included.

        It is opaque to whoever counts from outside, so it is run once more, on fake tensors too.
        """
        key = (function, torch.is_autocast_enabled("cpu"), signature(arguments))
        if key not in self._inside_operators:
            inside = LiveBytes(_tensors(arguments))
            with torch.no_grad(), inside:
                BODIES[function.name()](*arguments)
            self._inside_operators[key] = inside.peak.total
        return self._inside_operators[key]


def _answer(number: Tensor) -> bool | int | float:
    """What a tensor of one number says where the program branches: every pixel is valid, and they are many."""
    if number.dtype == torch.bool:
        return True
    return float(1) if number.is_floating_point() else MIN_ELEMENTS + 1


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def signature(tree: object) -> tuple:
    """Equal for arguments that differ in nothing but the numbers in their tensors."""
    return tuple(_signature_of(leaf) for leaf in tree_leaves(tree))


def _signature_of(leaf: Any) -> Hashable:
    if isinstance(leaf, Tensor):
        return tuple(leaf.shape), leaf.dtype, leaf.requires_grad
    if is_dataclass(leaf):
        return signature([getattr(leaf, field.name) for field in fields(leaf)])
    return leaf
