"""Writing a checkpoint folder by all processes that train together. `folder` says how it looks, and reads it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed
from safetensors import SafetensorError
from torch import Tensor

from zipmap_pl.checkpoints import folder as folders
from zipmap_pl.checkpoints.folder import FileFacts, Manifest
from zipmap_pl.checkpoints.parts import part_name, place_of, write_part
from zipmap_pl.files import sync

T = TypeVar("T")


def save_sharded(folder: Path, manifest: Manifest, groups: Mapping[str, Mapping[str, Tensor]], keep: int = 0) -> Path:
    """As `save_checkpoint`, called by all processes together; every one writes its slices, to a file system that they share.

    Args:
        groups: tensors by name, sharded or the same everywhere, under the name of their files. "weights" is needed, and
            "optimizer" (see `by_parameter_and_kind`) to go on from.

    Raises:
        OSError: on every process, if one could not write. The checkpoints that were there stay.
    """
    part, parts, writes = place_of(groups["weights"])
    final = folders.path_of(folder, manifest.step)
    leader = torch.distributed.get_rank() == 0
    there = together(lambda: leader and folders.open_new(final))
    if any(there):
        temporary = folders.temporary_name(final)

        def write() -> dict[str, FileFacts]:
            facts = {}
            for group, tensors in groups.items() if writes else ():
                path = temporary / part_name(group, part, parts)
                write_part(path, tensors, first=part == 0)
                sync(path)
                facts[path.name] = folders.facts_of(path)
            return facts

        written = together(write)
        manifest.parts = parts
        manifest.files = {name: facts for files in written for name, facts in sorted(files.items())}
        together(lambda: folders.close_new(final, manifest) if leader else None)  # type: ignore[func-returns-value]
    together(lambda: folders.point_to(final, keep) if leader else None)  # type: ignore[func-returns-value]
    return final


def together(action: Callable[[], T]) -> list[T]:
    """The results of all processes by rank, when all are done; OSError on all if it failed on one."""
    fault: str | None = None
    result: T | None = None
    try:
        result = action()
    except (OSError, SafetensorError) as error:
        fault = str(error)
    outcomes: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(outcomes, (result, fault))
    for rank, (_, told) in enumerate(outcomes):
        if told is not None:
            raise OSError(f"checkpoint not written, process {rank}: {told}")
    return [result for result, _ in outcomes]
