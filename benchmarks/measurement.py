"""Seconds and peak memory of one call, and the name of the machine that they were measured on."""

import ctypes
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def prepare_cpu() -> None:
    """Let the CPU's seconds be those of one thread, and the recording of allocations say nothing on the terminal.

    Freed memory stays with the process, as PyTorch does on a GPU: pages fresh from the system cost as much as computing,
    and only large tensors would pay for them.
    """
    torch.set_num_threads(1)
    if platform.libc_ver()[0] == "glibc":
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            ctypes.CDLL(None).mallopt(option, value)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def seconds_of(call: Call, device: torch.device) -> float:
    """Seconds between two events on a GPU; on a CPU the time that this thread computed, not that it waited.

    Other programs on the machine then cost little. Say `prepare_cpu` first.
    """
    if device.type != "cuda":
        start = time.thread_time()
        call()
        return time.thread_time() - start
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    before.record()
    call()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1000


def seconds_and_peak_bytes_of(call: Call, device: torch.device) -> tuple[float, int]:
    """Seconds (on a CPU some too many, because the allocations are recorded) and what the call allocates at most.

    Tensors that were there before, the weights say, are not counted.
    """
    if device.type == "cuda":
        already = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        seconds = seconds_of(call, device)
        return seconds, torch.cuda.max_memory_allocated(device) - already
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        seconds = seconds_of(call, device)
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return seconds, peak


def machine_name(device: torch.device) -> str:
    """The GPU's name, or the processor's and that one thread of it was used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"one thread of {names[0] if names else platform.machine()}"
