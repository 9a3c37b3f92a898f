"""How much memory of the machine a process can still take, also inside a container or a job of a scheduler."""

from collections.abc import Iterator
from pathlib import Path

# Names of limit, use and reclaimable page cache in the two versions of Linux' control groups.
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def available_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes: what the machine has left, or less if a control group of this process allows less."""
    left_by_machine = _fields(proc / "meminfo")["MemAvailable:"] * 1024
    return max(0, min([left_by_machine, *_left_by_groups(proc, groups)]))


def _left_by_groups(proc: Path, groups: Path) -> Iterator[int]:
    """What each group that this process is in, and each group around those, has left below its limit."""
    for line in (proc / "self" / "cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, (limit, use, cache) = groups, VERSION_2
        elif "memory" in controllers.split(","):
            root, (limit, use, cache) = groups / "memory", VERSION_1
        else:
            continue
        innermost = root / group.strip("/")
        for folder in (innermost, *innermost.parents):
            if not folder.is_relative_to(root) or not (folder / limit).exists():
                continue  # the names can be those of the host, seen from inside a container
            text = (folder / limit).read_text().strip()
            if text != "max":
                yield int(text) - int((folder / use).read_text()) + _fields(folder / "memory.stat").get(cache, 0)


def _fields(path: Path) -> dict[str, int]:
    """The lines `name number ...` of a file of the kernel."""
    return {line.split()[0]: int(line.split()[1]) for line in path.read_text().splitlines() if line.strip()}
