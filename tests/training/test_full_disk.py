"""A checkpoint that cannot be written: told by all in one line, the one before is untouched, and the run ends or goes on."""

from pathlib import Path

import pytest
import training_tasks as tasks
from training_processes import run
from training_results import tensors_of

from zipmap_pl.checkpoints.folder import checkpoints_of, find_checkpoint, read_manifest

LARGEST = 300_000  # bytes of a file; weights need more, what TensorBoard writes less


@pytest.fixture(scope="module")
def settings(unwatched_run: list[str]) -> list[str]:
    """Six steps of two views, and a checkpoint after every second one."""
    return [
        *unwatched_run,
        "data.views=[2,2]",
        "trainer.checkpoint_every=2",
    ]


def steps_of(output: Path) -> list[int]:
    return [read_manifest(checkpoint).step for checkpoint in checkpoints_of(output / "checkpoints")]


@pytest.mark.parametrize(
    ("strategy", "world", "rank"),
    [
        ("auto", 1, 0),
        pytest.param("ddp", 2, 0, marks=pytest.mark.long),
        pytest.param("fsdp", 2, 1, marks=pytest.mark.long),
    ],
)
def test_a_full_disk_ends_the_run_with_one_line_or_costs_one_checkpoint(
    strategy: str, world: int, rank: int, settings: list[str], tmp_path: Path
) -> None:
    common = [*settings, f"trainer.strategy={strategy}"]
    stopped, lasting = tmp_path / "stopped", tmp_path / "lasting"
    ends = [*common, f"output={stopped}"]
    run(tasks.train_on_a_full_disk, world, rank, 3, 6, LARGEST, ends, log=tmp_path / "log", expected=2)
    for path in (tmp_path / "log").iterdir():
        assert "told: " in path.read_text() and "File too large" in path.read_text()
        assert "Traceback" not in path.read_text()
    assert steps_of(stopped) == [2]
    assert tensors_of(find_checkpoint(stopped))
    goes_on = [*common, f"output={lasting}", "trainer.checkpoint_or_stop=false"]
    run(tasks.train_on_a_full_disk, world, rank, 3, 4, LARGEST, goes_on, log=tmp_path / "log of the other")
    assert steps_of(lasting) == [2, 6]
    assert "step 4: going on without this checkpoint" in (tmp_path / "log of the other" / "0.txt").read_text()
    assert sorted(path.name for path in (lasting / "checkpoints").iterdir()) == [
        "latest",
        "step-00000002",
        "step-00000006",
    ]
