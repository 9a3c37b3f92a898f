"""A checkpoint that several processes write is whole or not there, whoever of them dies when."""

import random
import stat
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import training_tasks as tasks
from training_processes import end_all, run, start

from zipmap_pl.checkpoints.folder import latest_checkpoint, read_manifest, read_optimizer, read_weights
from zipmap_pl.checkpoints.parts import Parts, write_part
from zipmap_pl.errors import UserError

SURE = 200  # more file operations than a save has


def values(checkpoint: Path) -> set[float]:
    state = [state["exp_avg"] for state in read_optimizer(checkpoint).values()]
    return {number for tensor in (*read_weights(checkpoint).values(), *state) for number in tensor.flatten().tolist()}


def whole(folder: Path) -> int:
    """The step of the newest checkpoint, whose tensors are all of that step."""
    newest = latest_checkpoint(folder)
    assert newest is not None
    step = read_manifest(newest).step
    assert values(newest) == {step}
    assert {name: tensor.shape for name, tensor in read_weights(newest).items()} == {
        "0.weight": (5, 8),
        "0.bias": (5,),
        "1.weight": (3, 5),
        "1.bias": (3,),
    }
    return step


@pytest.mark.parametrize(
    ("kind", "world"),
    [("sharded", 1), ("sharded", 2), pytest.param("sharded", 4, marks=pytest.mark.long), ("whole", 2)],
)
def test_what_several_write_is_read_as_one(kind: str, world: int, tmp_path: Path) -> None:
    save_twice(world, kind, tmp_path)
    assert whole(tmp_path / "checkpoints") == 2


def save_twice(world: int, kind: str, tmp_path: Path) -> None:
    run(tasks.save_twice, world, tmp_path / "checkpoints", kind, tasks.die, 0, SURE, log=tmp_path / "log")


def kill(kind: str, rank: int, call: int, world: int, tmp_path: Path) -> tuple[int, bool]:
    """The step that is found after a death at a file operation, and whether there was one."""
    folder = tmp_path / f"{rank}-{call}"
    processes = start(tasks.save_twice, world, folder, kind, tasks.die, rank, call, log=tmp_path / "log")
    processes[rank].join()
    died = processes[rank].exitcode != 0
    for process in processes:  # torchrun ends the others
        if died:
            process.kill()
        process.join()
    return whole(folder), died


@pytest.mark.parametrize(
    ("rank", "call", "found"),
    [(1, 1, 1), pytest.param(0, 3, 1, marks=pytest.mark.long), pytest.param(0, SURE, 2, marks=pytest.mark.long)],
)
def test_a_death_while_saving_leaves_the_checkpoint_before(rank: int, call: int, found: int, tmp_path: Path) -> None:
    assert kill("sharded", rank, call, 2, tmp_path)[0] == found


@pytest.mark.parametrize(
    ("kind", "world", "ranks", "least"),
    [
        pytest.param("whole", 1, [0], 12, marks=pytest.mark.long),
        pytest.param("whole", 2, [0], 12, marks=pytest.mark.long),
        pytest.param("sharded", 2, [0, 1], 20, marks=pytest.mark.long),
        pytest.param("sharded", 4, [0, 3], 20, marks=pytest.mark.long),
    ],
)
def test_a_death_at_any_moment_of_saving_leaves_a_whole_checkpoint(
    kind: str, world: int, ranks: list[int], least: int, tmp_path: Path
) -> None:
    """The pointer comes last, but for the folder that it is in: until then the step before counts."""
    deaths = 0
    for rank in ranks:
        found = []
        for call in range(1, SURE):
            step, died = kill(kind, rank, call, world, tmp_path)
            if not died:
                break
            found.append(step)
        deaths += len(found)
        assert set(found[:-1]) == {1} and found[-1] in (1, 2)
    assert deaths >= least


@pytest.mark.parametrize(
    ("kind", "world", "kills"),
    [
        ("whole", 1, 5),
        pytest.param("whole", 1, 30, marks=pytest.mark.long),
        pytest.param("whole", 2, 10, marks=pytest.mark.long),
        pytest.param("sharded", 2, 30, marks=pytest.mark.long),
        pytest.param("sharded", 4, 15, marks=pytest.mark.long),
    ],
)
def test_a_death_at_a_random_moment_leaves_a_whole_checkpoint(
    kind: str, world: int, kills: int, tmp_path: Path
) -> None:
    """One process is slow, another one or the same dies, while all save again and again."""
    draw, steps = random.Random(0), []
    for number in range(kills):
        folder, slow, dying = tmp_path / str(number), draw.randrange(world), draw.randrange(world)
        processes = start(tasks.save_on_and_on, world, folder, kind, slow, log=tmp_path / "log")
        wait_for(draw.randint(1, 4), folder, processes)
        time.sleep(draw.uniform(0, 0.1))  # the moment is what is drawn
        processes[dying].kill()
        processes[dying].join()
        end_all(processes)
        steps.append(whole(folder))
    assert max(steps) > 1


def wait_for(step: int, folder: Path, processes: list[BaseProcess]) -> None:
    """Until the checkpoint of that step, or a later one, is the latest."""
    while (
        not (folder / "latest").exists() or int((folder / "latest").read_text().split()[0].removeprefix("step-")) < step
    ):
        assert all(process.exitcode is None for process in processes), "one ended by itself"
        time.sleep(0.002)


def test_a_full_disk_of_one_is_told_by_all_and_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    run(tasks.save_twice, 2, folder, "sharded", tasks.fill_the_disk, 1, 1, log=tmp_path / "log", expected=1)
    assert all("process 1: [Errno 28]" in path.read_text() for path in (tmp_path / "log").iterdir())
    assert whole(folder) == 1


@pytest.mark.long
def test_a_full_disk_of_the_one_that_writes_is_told_by_all(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    run(tasks.save_twice, 2, folder, "whole", tasks.fill_the_disk, 0, 4, log=tmp_path / "log", expected=1)
    assert all("process 0: [Errno 28]" in path.read_text() for path in (tmp_path / "log").iterdir())
    assert whole(folder) == 1


@pytest.mark.parametrize("kind", ["whole", "sharded"])
def test_everybody_may_read_what_the_umask_lets_them(kind: str, tmp_path: Path) -> None:
    save_twice(1, kind, tmp_path)
    (tmp_path / "new").touch()
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    rights = {path.name: stat.filemode(path.stat().st_mode) for path in newest.iterdir()}
    assert len(rights) == 3
    assert set(rights.values()) == {stat.filemode((tmp_path / "new").stat().st_mode)}


def test_damage_in_a_part_is_named(tmp_path: Path) -> None:
    save_twice(2, "sharded", tmp_path)
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    part = newest / "weights-00002-of-00002.safetensors"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(UserError, match="00002-of-00002.safetensors: damaged"):
        read_weights(newest)
    part.unlink()
    with pytest.raises(UserError, match="found nothing"):
        read_weights(newest)


def test_parts_that_do_not_fit_each_other_are_named(tmp_path: Path) -> None:
    write_part(tmp_path / "a", {"x": torch.ones(2)}, first=True)
    (tmp_path / "b").write_bytes(b"nothing of that kind")
    assert Parts([tmp_path / "a"])["x"].tolist() == [1, 1]
    with pytest.raises(UserError, match="b: not readable as a part"):
        Parts([tmp_path / "a", tmp_path / "b"])
