"""Where a long sequence keeps, outside the device, what it will need again: memory of the host, or one mapped file."""

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from zipmap_pl.checks import refuse
from zipmap_pl.errors import UserError
from zipmap_pl.models.sequences.host_memory import available_memory

DTYPES = ("bfloat16", "float32")
PLACES = ("auto", "memory", "file")
MEMORY_SHARE = 0.5  # of the available memory that "auto" takes; the other half is for pictures and results

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storage:
    """How a long sequence is kept between two looks at it.

    `dtype`: bfloat16, or float32, which rounds nothing that the model computes in float32.
    `place`: memory, file, or auto: memory if at most half of what is free is needed, else a file.
    `folder`: where that file lies, by default the system's folder for temporary files; it should be on a disk.
    Raises UserError for another dtype or place.
    """

    dtype: str = "bfloat16"
    place: str = "auto"
    folder: str | None = None

    def __post_init__(self) -> None:
        refuse("storage", self._faults())

    def _faults(self) -> Iterator[str]:
        if self.dtype not in DTYPES:
            yield f"dtype={self.dtype}, expected one of {', '.join(DTYPES)}"
        if self.place not in PLACES:
            yield f"place={self.place}, expected one of {', '.join(PLACES)}"


@dataclass(frozen=True)
class StorageLayout:
    """What will be kept of B scenes with S views, and where. As text: one line that says so.

    Attributes:
        kept: name -> shape of what is kept of each view.
        dtype: of all of it.
        folder: where the file will lie; None if it is kept in memory.
    """

    kept: Mapping[str, tuple[int, ...]]
    scenes: int
    views: int
    dtype: torch.dtype
    folder: Path | None

    @property
    def bytes_per_view(self) -> int:
        """Of one view of one scene."""
        return sum(math.prod(shape) for shape in self.kept.values()) * self.dtype.itemsize

    @property
    def total_bytes(self) -> int:
        """Of all views of all scenes."""
        return self.scenes * self.views * self.bytes_per_view

    def __str__(self) -> str:
        views = self.scenes * self.views
        if not self.kept:
            return f"long sequence: {views} views one after another, nothing is kept of a view"
        where = "in memory" if self.folder is None else f"in a file in {self.folder}"
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"long sequence: {self.bytes_per_view:,} bytes per view in {dtype}, "
            f"{gigabytes(self.total_bytes)} for {views} views, {where}"
        )


def choose_storage(kept: Mapping[str, tuple[int, ...]], scenes: int, views: int, storage: Storage) -> StorageLayout:
    """Choose where it fits. Raises UserError if it fits nowhere, or not where it was wanted."""
    folder = Path(tempfile.gettempdir() if storage.folder is None else storage.folder)
    in_memory, in_file = (
        StorageLayout(kept, scenes, views, getattr(torch, storage.dtype), place) for place in (None, folder)
    )
    total = in_memory.total_bytes
    memory = available_memory()
    if storage.place == "memory":
        if total > memory:
            raise UserError(
                f"long sequence: found {gigabytes(memory)} of free memory, expected {gigabytes(total)} for {views} views; "
                "take place=file, bfloat16 or fewer views"
            )
        return in_memory
    if storage.place == "auto" and total <= MEMORY_SHARE * memory:
        return in_memory
    if not folder.is_dir():
        raise UserError(f"{folder}: found no folder, expected one for the file of a long sequence")
    disk = shutil.disk_usage(folder).free
    if total > disk:
        raise UserError(
            f"{folder}: found {gigabytes(disk)} free (and {gigabytes(memory)} of memory), expected {gigabytes(total)} "
            f"for {views} views; name a folder on another disk, or take bfloat16 or fewer views"
        )
    return in_file


class TokenStore:
    """Values of every view by name, as planned; a context manager that gives everything back at its end.

    Everything is reserved at the start: a disk that is full shows itself there (UserError), and not in the middle. Memory
    is page-locked for a GPU inside the context, so that it copies at the speed of its bus while it computes.
    """

    def __init__(self, layout: StorageLayout, device: torch.device) -> None:
        """`device`: on which values are wanted."""
        numbers = layout.total_bytes // layout.dtype.itemsize
        self.device = device
        self.everything = (
            torch.empty(numbers, dtype=layout.dtype, device="cpu")
            if layout.folder is None
            else _mapped_file(numbers, layout.dtype, layout.folder)
        )
        sizes = [layout.scenes * layout.views * math.prod(shape) for shape in layout.kept.values()]
        # Views first, so that some of them lie together: what does not is copied by the CPU, which does not wait for a GPU.
        self.values = {
            name: part.view(layout.views, layout.scenes, *shape)
            for (name, shape), part in zip(layout.kept.items(), self.everything.split(sizes), strict=True)
        }
        self._lockable = device.type == "cuda" and layout.folder is None and numbers > 0
        self._locked = False
        self._dtypes: dict[str, torch.dtype] = {}

    def put(self, name: str, start: int, values: Tensor) -> None:
        """Keep [B, n, ...], from any device, of the views from `start` on."""
        self._dtypes[name] = values.dtype
        kept = self.values[name][start : start + values.shape[1]]
        kept.copy_(values.to(kept.dtype).transpose(0, 1).contiguous(), non_blocking=True)

    def get(self, name: str, span: slice) -> Tensor:
        """What was put of these views [B, n, ...], in the dtype in which it came; never the store's own memory."""
        values = self.values[name][span].to(self.device, copy=True, non_blocking=True)
        return values.transpose(0, 1).to(self._dtypes[name]).contiguous()

    def __enter__(self) -> Self:
        if self._lockable:
            error = int(torch.cuda.cudart().cudaHostRegister(self.everything.data_ptr(), self.everything.nbytes, 0))
            self._locked = error == 0
            if error:
                log.warning("long sequence: memory is not page-locked (CUDA error %d), so copies are slower", error)
                with suppress(RuntimeError):  # CUDA blames the next kernel for a call that failed: let it be this one
                    torch.zeros(1, device=self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._locked:
            torch.cuda.synchronize(self.device)  # copies may be under way
            torch.cuda.cudart().cudaHostUnregister(self.everything.data_ptr())
        self.values.clear()
        del self.everything


def gigabytes(count: int) -> str:
    """For people: "6.65 GB"."""
    return f"{count / 1e9:,.2f} GB"


def _mapped_file(numbers: int, dtype: torch.dtype, folder: Path) -> Tensor:
    """A tensor in a file that has lost its name already: it goes when the tensor goes, however the process ends."""
    descriptor, name = tempfile.mkstemp(prefix="zipmap-", dir=folder)
    try:
        os.posix_fallocate(descriptor, 0, numbers * dtype.itemsize)
        return torch.from_file(name, shared=True, size=numbers, dtype=dtype)
    except OSError as error:
        needed = gigabytes(numbers * dtype.itemsize)
        raise UserError(
            f"{folder}: found no room for a long sequence ({error.strerror}), expected {needed}; name another folder"
        ) from error
    finally:
        os.close(descriptor)
        os.unlink(name)
