"""Killed again and again, between any two instructions, a run ends as if it had never been: bit for bit, curves included."""

import random
from pathlib import Path

import pytest
import training_tasks as tasks
from training_processes import KILLED, end_all, run, start
from training_results import differing, scalars

EVERY = 3


@pytest.fixture(scope="module")
def settings(unwatched_run: list[str]) -> list[str]:
    """Two views of two scenes a step, averages from the second step on, a checkpoint after every third."""
    return [
        *unwatched_run,
        "data.views=[2,2]",
        "stage.ema.decay=0.9",
        "stage.ema.start_step=1",
        f"trainer.checkpoint_every={EVERY}",
    ]


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("strategy", "world", "steps", "kills"),
    [
        ("auto", 1, 10, 3),
        pytest.param("auto", 1, 50, 20, marks=pytest.mark.long),
        pytest.param("ddp", 2, 50, 10, marks=pytest.mark.long),
        pytest.param("fsdp", 2, 50, 10, marks=pytest.mark.long),
        pytest.param("hsdp", 4, 12, 4, marks=pytest.mark.long),
    ],
)
def test_killed_at_random_moments_a_run_ends_as_the_unbroken_one(
    strategy: str, world: int, steps: int, kills: int, settings: list[str], tmp_path: Path
) -> None:
    """Every other death is inside the writing of a checkpoint."""
    draw, deaths = random.Random(world), 0
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    nodes = 2 if strategy == "hsdp" else 1
    common = [*settings, f"stage.steps={steps}", f"trainer.strategy={strategy}"]
    run(tasks.train, world, [*common, f"output={whole}"], log=tmp_path / "log of the whole", nodes=nodes)
    for number in range(kills):
        again = [*common, f"output={killed}"]
        if number % 2:
            rank = 0 if strategy in ("auto", "ddp") else draw.choice(range(0, world, nodes))  # one that writes
            task = (tasks.train_and_die_saving, world, rank, draw.randint(1, 9), again)
        else:
            rank = draw.randrange(world)
            task = (tasks.train_with, world, tasks.die, rank, draw.randint(1, 2 * EVERY), again)
        processes = start(*task, log=tmp_path / "log", nodes=nodes)
        processes[rank].join()
        deaths += processes[rank].exitcode == KILLED
        end_all(processes)  # as torchrun does
    run(tasks.train, world, [*common, f"output={killed}"], log=tmp_path / "log", nodes=nodes)
    assert deaths == kills
    assert differing(whole, killed) == []
    for name in ("loss/total", "learning_rate/default", "gradient_norm/aggregator"):
        assert scalars(whole, name) == scalars(killed, name)
        assert [step for step, _ in scalars(killed, name)] == list(range(1, steps + 1))
