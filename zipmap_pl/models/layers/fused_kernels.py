"""Element-wise steps between matrix products, as one kernel: one by one, each walks through memory and back, and on a GPU
all of them together take as long as the products.
"""

import logging
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch

log = logging.getLogger(__name__)


class Fused:
    """A function of tensors that runs as it is written, or compiled for a GPU (with sizes as variables).

    The compiler takes seconds, once per process: worth it for who comes again, not for one call. Where it does not work
    (it needs Triton and a C compiler) a warning says so once, and the function runs as it is written.
    """

    def __init__(self, steps: Callable[..., Any]) -> None:
        self.steps = steps
        self.usable = find_spec("triton") is not None

    def __call__(self, *inputs: Any, fuse: bool) -> Any:
        """The function of `inputs`; `fuse`: they are on a GPU, and the compiler is worth waiting for."""
        if not (fuse and self.usable):
            return self.steps(*inputs)
        try:
            return self.compiled(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler fails in many ways
            self.usable = False
            reason = " ".join(str(error).split("\n")[:2])  # the first one can be the name of a backend only
            log.warning("%s is not compiled, so a GPU is slower: %s", self.steps.__name__, reason)
            return self.steps(*inputs)

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """Compiled when it is first called."""
        return torch.compile(self.steps, dynamic=True)


def worth_compiling() -> bool:
    """Whether the caller trains or is compiled itself."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()
