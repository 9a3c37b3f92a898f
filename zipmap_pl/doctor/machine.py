"""Devices and memory of this machine."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from zipmap_pl.doctor.section import Section, first_line, gigabytes
from zipmap_pl.models.sequences.host_memory import available_memory

SHARED = Path("/dev/shm")
LEAST_SHARED = 1e9  # bytes; containers have 64 MB unless asked
LEAST_DISK = 1e9
DRIVER_SECONDS = 10
QUERY = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]


def devices() -> Section:
    """CPU, GPUs, driver. Broken is a GPU that its driver sees and torch does not, or that gives no memory."""
    section = Section("Devices")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    section.add("CPU", f"{_processor()}, {cores} cores usable, {torch.get_num_threads()} threads of torch")
    section.add("torch", f"{torch.__version__}, built for {_built_for()}")
    drivers = _drivers()
    section.add("NVIDIA driver", "; ".join(drivers) or "none found")
    section.broken += _unseen(drivers)
    for number in range(torch.cuda.device_count()):
        _add_gpu(section, number)
    if torch.backends.mps.is_available():
        section.add("mps", "available")
    return section


def _processor() -> str:
    """The processor's name, or at least its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _built_for() -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return f"ROCm {torch.version.hip}" if torch.version.hip else "the CPU only"


def _drivers() -> list[str]:
    """Version and name of each GPU, as NVIDIA's own tool says; empty without it or without a GPU."""
    try:
        shown = subprocess.run(QUERY, capture_output=True, text=True, check=True, timeout=DRIVER_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in shown.stdout.splitlines() if line.strip()]


def _unseen(drivers: list[str]) -> Iterator[str]:
    """The GPUs that torch ought to see. Those that the user hides on purpose are none."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    if drivers and not hidden and not torch.cuda.is_available():
        yield (
            f"torch {torch.__version__}, built for {_built_for()}, finds no GPU, the driver does ({drivers[0]}); install the "
            "torch build for this driver (pytorch.org, Get started), or a newer driver"
        )


def _add_gpu(section: Section, number: int) -> None:
    name = f"cuda:{number}"
    try:
        free, total = torch.cuda.mem_get_info(number)
        kind = torch.cuda.get_device_properties(number)
    except RuntimeError as error:
        section.broken.append(f"{name}: not usable ({first_line(error)}); see what nvidia-smi says of it")
        return
    memory = f"{gigabytes(free)} of {gigabytes(total)} free"
    section.add(name, f"{kind.name}, compute capability {kind.major}.{kind.minor}, {memory}")


def memory(places: dict[str, Path]) -> Section:
    """Memory, shared memory, and the room on the disks of some places.

    Broken is a place that cannot be written to, or is nearly full.

    Args:
        places: folders by name; one that is not there yet is judged by where it would be.
    """
    section = Section("Memory and disks")
    section.add("memory", _host_memory())
    if SHARED.is_dir():
        room = shutil.disk_usage(SHARED)
        small = "; too little for loaders with worker processes: `docker run --shm-size=8g`, or data.workers=0"
        text = f"{gigabytes(room.free)} of {gigabytes(room.total)} free"
        section.add("shared memory", text + (small if room.total < LEAST_SHARED else ""))
    for name, place in {**places, "temporary files": Path(tempfile.gettempdir())}.items():
        _add_place(section, name, place)
    return section


def _host_memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return f"{gigabytes(available_memory())} of {gigabytes(total)} usable"
    except (OSError, ValueError, KeyError):
        return "unknown (no /proc here)"


def _add_place(section: Section, name: str, place: Path) -> None:
    """The line of a folder; it need not be there."""
    there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    section.add(name, f"{place}, {gigabytes(free)} free")
    if not os.access(there, os.W_OK):
        section.broken.append(f"{name}: {there} cannot be written to; change its rights, or choose another folder")
    elif free < LEAST_DISK:
        section.broken.append(f"{name}: {place} has {gigabytes(free)} left; make room")
