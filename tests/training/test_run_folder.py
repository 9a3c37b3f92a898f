"""One run at a time in an output folder; what a dead one leaves does not count."""

import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from zipmap_pl.errors import UserError
from zipmap_pl.training.config import compose
from zipmap_pl.training.curriculum import run
from zipmap_pl.training.fit import fit
from zipmap_pl.training.parallel.run_folder import run_folder
from zipmap_pl.training.parallel.strategies import World, is_first

HOLD = """
import os, sys
from pathlib import Path
from zipmap_pl.training.parallel.run_folder import run_folder
with run_folder(Path(sys.argv[1])):
    child = os.fork() if sys.argv[2] == "fork" else -1
    if child:
        print(child, flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds a folder until its input ends; `child` is one that it forked, as a loader does."""

    def __init__(self, folder: Path, fork: bool = False) -> None:
        words = [sys.executable, "-c", HOLD, str(folder), "fork" if fork else "alone"]
        environment = os.environ | {"SLURM_JOB_ID": "4711"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.child = int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate()


def test_the_second_run_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    holder = Holder(tmp_path / "run")
    with pytest.raises(UserError) as refused, run_folder(tmp_path / "run"):
        pass
    holder.end()
    text = str(refused.value)
    assert str(tmp_path / "run") in text and f"process {holder.process.pid} on " in text and "(job 4711)" in text
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text) and "\n" not in text
    with run_folder(tmp_path / "run"):
        pass


@pytest.mark.parametrize("fork", [False, True])
def test_what_a_killed_run_held_is_free_at_once_even_while_its_loader_lives(tmp_path: Path, fork: bool) -> None:
    holder = Holder(tmp_path, fork)
    holder.process.kill()
    holder.process.wait()
    with run_folder(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert list(tmp_path.iterdir()) == []
    holder.process.communicate()  # ends the child


@pytest.mark.parametrize("left", [b"", b"process 1 on nowhere, since ever", b"\xff\x00"])
def test_a_lock_file_that_nobody_holds_does_not_count(tmp_path: Path, left: bytes) -> None:
    (tmp_path / ".lock").write_bytes(left)
    with run_folder(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_does_not_keep_anybody_from_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def without_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", without_locks)
    with run_folder(tmp_path):
        assert "has no locks" in caplog.text


def test_a_refused_run_changes_nothing_in_the_folder(smallest_run: list[str], tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    with pytest.raises(UserError, match="in use by another run"):
        fit(compose([*smallest_run, f"output={tmp_path}"]))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    holder.end()


def test_a_stage_that_a_curriculum_would_reach_later_is_refused_at_its_start(
    smallest_run: list[str], tmp_path: Path
) -> None:
    first, second = (
        compose([*smallest_run, f"output={tmp_path / name}", f"stage.name={name}", f"stage.parent={parent}"])
        for name, parent in (("one", "null"), ("two", "one"))
    )
    holder = Holder(tmp_path / "two")
    with pytest.raises(UserError, match="two: in use by another run"):
        run([first, second])
    holder.end()
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        (TorchElasticEnvironment, {"node": "GROUP_RANK", "local": "LOCAL_RANK"}),
        (SLURMEnvironment, {"node": "SLURM_NODEID", "local": "SLURM_LOCALID"}),
        (None, {"node": "NODE_RANK", "local": "LOCAL_RANK"}),
    ],
)
@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_of_all_processes_of_a_run_one_holds_the_folder(environment, names, place, monkeypatch) -> None:
    for name, value in zip(("node", "local"), place, strict=True):
        monkeypatch.setenv(names[name], str(value))
    world = World(2, 2, environment and environment())
    assert is_first(world) == (place == (0, 0))
