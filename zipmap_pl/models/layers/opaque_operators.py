"""Operators that the compiler does not look into, and a table of them for those who count what happens inside."""

from collections.abc import Callable
from typing import Any

import torch
from torch.library import CustomOpDef

BODIES: dict[str, Callable[..., Any]] = {}  # name as the dispatcher has it -> the function behind the operator


def opaque(name: str) -> Callable[[Callable[..., Any]], CustomOpDef]:
    """Make a function of tensors the operator `zipmap_pl::<name>`. It changes none of its arguments."""

    def register(function: Callable[..., Any]) -> CustomOpDef:
        BODIES[f"zipmap_pl::{name}"] = function
        return torch.library.custom_op(f"zipmap_pl::{name}", function, mutates_args=())

    return register
