"""What system and schedulers say: a warning saves and goes on, an end saves and stops, the second one leaves at once."""

import signal
from pathlib import Path

import pytest
import training_tasks as tasks
from training_processes import end_all, run, start
from training_results import differing

from zipmap_pl.checkpoints.folder import checkpoints_of, read_manifest
from zipmap_pl.cli.main import EXIT_INTERRUPTED


@pytest.fixture(scope="module")
def settings(unwatched_run: list[str]) -> list[str]:
    """Six steps of two views, and a checkpoint only at the end."""
    return [
        *unwatched_run,
        "data.views=[2,2]",
        "trainer.checkpoint_every=1000",
    ]


@pytest.fixture(scope="module")
def whole(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole")
    run(tasks.train, 1, [*settings, f"output={output}"], log=output / "log")
    return output


def steps_of(output: Path) -> list[int]:
    return [read_manifest(checkpoint).step for checkpoint in checkpoints_of(output / "checkpoints")]


def test_a_warning_to_the_whole_process_group_is_a_checkpoint_and_changes_nothing(
    settings: list[str], whole: Path, tmp_path: Path
) -> None:
    """SLURM sends it to the loader's workers, too, and it may come before training does."""
    again = [*settings, f"output={tmp_path}", "data.workers=1"]
    run(tasks.train_in_a_group, 1, {0: signal.SIGUSR1, 3: signal.SIGUSR1}, again, log=tmp_path / "log")
    assert steps_of(tmp_path) == [3, 6]
    assert differing(whole, tmp_path) == []


@pytest.mark.parametrize("sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_an_end_of_the_whole_process_group_is_a_checkpoint_and_goes_on_bit_for_bit(
    sent: signal.Signals, settings: list[str], whole: Path, tmp_path: Path
) -> None:
    """Ctrl-C ends a single process at once, before the step counts; SIGTERM lets it end."""
    again = [*settings, f"output={tmp_path}", "data.workers=1"]
    run(tasks.train_in_a_group, 1, {3: sent}, again, log=tmp_path / "log", expected=EXIT_INTERRUPTED)
    assert steps_of(tmp_path) == [3 if sent == signal.SIGTERM else 2]
    run(tasks.train, 1, again, log=tmp_path / "log")
    assert differing(whole, tmp_path) == []


@pytest.mark.parametrize("world", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_second_end_leaves_at_once(world: int, settings: list[str], tmp_path: Path) -> None:
    again = [*settings, f"output={tmp_path}", f"trainer.strategy={'auto' if world == 1 else 'fsdp'}"]
    processes = start(tasks.train_with, world, tasks.terminate_twice, 0, 3, again, log=tmp_path / "log")
    processes[0].join()
    end_all(processes)
    assert processes[0].exitcode == -signal.SIGTERM
    assert steps_of(tmp_path) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_are_warned_and_ended_and_go_on_bit_for_bit(
    strategy: str, settings: list[str], tmp_path: Path
) -> None:
    """A job on SLURM, which signals all process groups, and is submitted again."""
    common = [*settings, f"trainer.strategy={strategy}", "data.workers=1"]
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    run(tasks.train, 2, [*common, f"output={whole}"], log=tmp_path / "log of the whole")
    again, sent = [*common, f"output={ended}"], {2: signal.SIGUSR1, 4: signal.SIGTERM}
    run(tasks.train_in_a_group, 2, sent, again, log=tmp_path / "log", expected=EXIT_INTERRUPTED)
    assert steps_of(ended) == [2, 4]
    run(tasks.train, 2, again, log=tmp_path / "log")
    assert differing(whole, ended) == []
