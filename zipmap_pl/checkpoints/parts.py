"""Tensors in several files, one per process that trained: every file holds a slice of each tensor.

A group of tensors ("weights", "optimizer") of four processes is weights-00001-of-00004.safetensors and so on. Each file
says along which dimension its slices were cut; put one behind the other in the order of the files they are the whole
tensor. What was not cut lies in the first file. So any number of processes can read what any number has written,
and reading executes nothing (torch's own sharded format keeps its table of contents in a pickle).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zipmap_pl.checkpoints.tensor_files import write_safetensors
from zipmap_pl.errors import DamagedFile

CUT = "cut along"


def part_name(group: str, part: int, parts: int) -> str:
    """File name of a part, counted from 0."""
    return f"{group}-{part + 1:05d}-of-{parts:05d}.safetensors"


def place_of(tensors: Mapping[str, Tensor]) -> tuple[int, int, bool]:
    """Which part this process holds, of how many, and whether it is the one that writes it (replicas hold the same)."""
    from torch.distributed.tensor import DTensor  # slow to import, and not needed to read

    for tensor in tensors.values():
        if isinstance(tensor, DTensor):
            mesh = tensor.device_mesh
            first_replica = mesh.ndim == 1 or mesh.get_local_rank(0) == 0
            return mesh.get_local_rank(mesh.ndim - 1), mesh.size(mesh.ndim - 1), first_replica
    raise ValueError("no tensor is sharded, expected those of a sharded model")


def write_part(path: Path, tensors: Mapping[str, Tensor], first: bool) -> None:
    """Write this process's slices of sharded tensors and, into the `first` part, those that are not sharded."""
    from torch.distributed.tensor import DTensor, Shard

    mine: dict[str, Tensor] = {}
    cut: dict[str, int] = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            placement = tensor.placements[-1]
            assert isinstance(placement, Shard)
            cut[name] = placement.dim
            tensor = tensor.to_local()
        elif not first:
            continue
        if tensor.numel() or first:
            mine[name] = tensor
    write_safetensors(path, mine, {CUT: json.dumps(cut)})


class Parts(Mapping[str, Tensor]):
    """The whole tensors of a group by name, each put together, on the CPU, when it is asked for.

    Raises:
        DamagedFile: a file is not what it should be.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._stack = ExitStack()
        self._found: dict[str, list[Any]] = {}
        self._cut: dict[str, int] = {}
        for path in paths:
            try:
                file = self._stack.enter_context(safe_open(path, framework="pt"))
                self._cut |= {
                    str(name): int(dim) for name, dim in json.loads((file.metadata() or {}).get(CUT, "{}")).items()
                }
                for name in file.keys():  # noqa: SIM118 (the file is no mapping)
                    self._found.setdefault(name, []).append(file)
            except (SafetensorError, ValueError, TypeError, AttributeError) as error:
                raise _damaged(path, error) from error

    def __getitem__(self, name: str) -> Tensor:
        try:
            slices = [file.get_tensor(name) for file in self._found[name]]
            return torch.cat(slices, self._cut[name]) if name in self._cut else slices[0]
        except (SafetensorError, RuntimeError, IndexError) as error:
            raise _damaged(self._paths[0], error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _damaged(path: Path, error: Exception) -> DamagedFile:
    reason = (str(error).splitlines() or ["empty"])[0]
    return DamagedFile(f"{path}: not readable as a part of a checkpoint ({reason}); take another checkpoint")


class StateByParameter(Mapping[str, dict[str, Tensor]]):
    """Optimiser state by parameter name out of tensors named `parameter/kind`, read when it is asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._kinds: dict[str, list[str]] = {}
        for key in tensors:
            name, kind = key.rsplit("/", 1)
            self._kinds.setdefault(name, []).append(kind)

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        return {kind: self._tensors[f"{name}/{kind}"] for kind in self._kinds[name]}

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


def by_parameter_and_kind(state: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What `StateByParameter` undoes."""
    return {f"{name}/{kind}": tensor for name, kinds in state.items() for kind, tensor in kinds.items()}
