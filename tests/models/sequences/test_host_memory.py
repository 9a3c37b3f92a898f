"""How much memory is left: of the machine, of a container, of a job inside a job."""

import pytest

from zipmap_pl.models.sequences.host_memory import available_memory

GIB = 1024**3


@pytest.fixture
def machine(tmp_path):
    """Writes the kernel's files of a machine with 16 GiB left, where this process is in the group named."""

    def write(membership, files):
        proc, groups = tmp_path / "proc", tmp_path / "groups"
        contents = {
            proc / "meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n",
            proc / "self/cgroup": membership,
        }
        for path, text in (contents | {groups / name: text for name, text in files.items()}).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_memory(proc, groups)

    return write


def group(folder, limit, used, cache, version):
    """The files of a group, in GiB."""
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    numbers = ["max" if number is None else str(int(number * GIB)) for number in (limit, used, cache)]
    files = {names[0]: numbers[0], names[1]: numbers[1], "memory.stat": f"anon 1\n{names[2]} {numbers[2]}\n"}
    return {f"{folder}/{name}": text for name, text in files.items()}


@pytest.mark.parametrize(
    ("membership", "files", "left"),
    [
        ("", {}, 16),
        ("0::/\n", {}, 16),
        ("0::/job/step\n", group("job/step", 8, 3, 1, 2), 6),  # page cache can be given back
        ("0::/job/step\n", group("job/step", None, 3, 1, 2) | group("job", 4, 3, 0.5, 2), 1.5),
        ("0::/job\n", group("job", 64, 3, 0, 2), 16),
        ("0::/job\n", group("job", 2, 3, 0, 2), 0),
        ("5:cpu,memory:/docker/ab\n1:name=systemd:/\n", group("memory/docker/ab", 8, 3, 1, 1), 6),
        ("5:memory:/name/on/the/host\n0::/\n", group("memory", 8, 3, 1, 1), 6),  # seen from inside a container
        ("5:cpu:/docker/ab\n", group("memory/docker/ab", 8, 3, 1, 1), 16),  # another controller's group
    ],
)
def test_the_tightest_limit_counts(machine, membership, files, left):
    assert machine(membership, files) == left * GIB


def test_this_machine_has_some():
    assert 0 < available_memory() < 1 << 50
