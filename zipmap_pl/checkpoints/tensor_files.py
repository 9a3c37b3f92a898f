"""Writing files of tensors as any other file is written: with the usual rights, and an OSError where the system refuses."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from zipmap_pl.files import usual_rights


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name, from wherever they are. Raises OSError: no room, no rights, ..."""
    mine = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with usual_rights(path):
            save_file(mine, path, metadata)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def write_pt(path: Path, content: object) -> None:
    """Write what `torch.load` reads. Raises OSError: no room, no rights, ..."""
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # what torch makes of a write that failed
        cause = error.__context__
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise
