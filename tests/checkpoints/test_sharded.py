"""A checkpoint that several processes write is whole or not there, whoever of them dies when."""

from pathlib import Path

import pytest
import torch
import training_tasks as tasks
from training_processes import run, start

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


@pytest.mark.parametrize("world", [1, 2, pytest.param(4, marks=pytest.mark.long)])
def test_what_several_write_is_read_as_one(world: int, tmp_path: Path) -> None:
    run(tasks.save_twice, world, tmp_path / "checkpoints", tasks.die, 0, SURE, log=tmp_path / "log")
    assert whole(tmp_path / "checkpoints") == 2


def kill(rank: int, call: int, world: int, tmp_path: Path) -> tuple[int, bool]:
    """The step that is found after a death at a file operation, and whether there was one."""
    folder = tmp_path / f"{rank}-{call}"
    processes = start(tasks.save_twice, world, folder, tasks.die, rank, call, log=tmp_path / "log")
    processes[rank].join()
    died = processes[rank].exitcode != 0
    for process in processes:  # torchrun ends the others
        if died:
            process.kill()
        process.join()
    return whole(folder), died


@pytest.mark.parametrize(("rank", "call", "found"), [(1, 1, 1), (0, 3, 1), (0, SURE, 2)])
def test_a_death_while_saving_leaves_the_checkpoint_before(rank: int, call: int, found: int, tmp_path: Path) -> None:
    assert kill(rank, call, 2, tmp_path)[0] == found


@pytest.mark.long
@pytest.mark.parametrize("world", [2, 4])
def test_a_death_at_any_moment_of_saving_leaves_a_whole_checkpoint(world: int, tmp_path: Path) -> None:
    """The pointer comes last: until then the step before counts."""
    deaths, found = 0, set()
    for rank in (0, world - 1):
        for call in range(1, SURE):
            step, died = kill(rank, call, world, tmp_path)
            if not died:
                break
            deaths, found = deaths + 1, found | {step}
    assert deaths > 15
    assert found == {1}


def test_a_full_disk_of_one_is_told_by_all_and_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    run(tasks.save_twice, 2, folder, tasks.fill_the_disk, 1, 1, log=tmp_path / "log", expected=1)
    assert all("process 1: [Errno 28]" in path.read_text() for path in (tmp_path / "log").iterdir())
    assert whole(folder) == 1


def test_damage_in_a_part_is_named(tmp_path: Path) -> None:
    run(tasks.save_twice, 2, tmp_path / "checkpoints", tasks.die, 0, SURE, log=tmp_path / "log")
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
