"""`zipmap plan`: a table, a verdict, what would change it, and an exit status."""

import re
import subprocess
import sys

import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.draws.draw import StepShape
from zipmap_pl.memory import estimate as memory_plan
from zipmap_pl.memory.estimate import GIB, estimate_memory
from zipmap_pl.memory.live_bytes import Moment
from zipmap_pl.memory.step_memory import StepMemory
from zipmap_pl.training.config import RunConfig, compose
from zipmap_pl.training.parallel.strategies import World


@pytest.mark.long
def test_the_demo_fits(capsys) -> None:
    assert main(["plan", "gpu=24GB"]) == 0
    told = capsys.readouterr().out
    for part in ("tokenizer", "scene blocks", "optimiser states", "averaged weights", "activations kept"):
        assert part in told
    assert "of 24.0 GiB" in told
    assert told.endswith("fits (computed, not measured on a GPU)\n")


def test_what_does_not_fit_comes_with_changes(capsys, monkeypatch) -> None:
    def step(config: RunConfig, shape: StepShape, *_: object) -> StepMemory:
        pixels = shape.scenes * shape.views * shape.width * shape.height
        return StepMemory(0, pixels * 2**10, Moment(tensors=pixels * 2**10), "loss")

    monkeypatch.setattr(memory_plan, "step_memory", step)
    total = estimate_memory(compose([]), World(1, 1, None), GIB).total
    assert main(["plan", f"gpu={(total - 2**20) / GIB:.6f}GB"]) == 1
    told = capsys.readouterr().out
    assert "does not fit (computed, not measured on a GPU)\n" in told
    for settings in ("data.images_per_gpu=", "stage.ema.decay=0", "strategy=fsdp trainer.devices=8", "data.width=42"):
        (line,) = (line for line in told.splitlines() if settings in line)
        assert line.endswith(" GiB, fits")
    assert re.search(
        r"\n    with trainer.global_images=3072, \d+ micro-batches of 1 x .* GiB, (fits|does not fit either)\n", told
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "gpu is missing, expected the memory of a GPU, for example gpu=80GB"),
        (["gpu=big"], "gpu is big, expected the memory of a GPU, for example gpu=80GB"),
        (["gpu=80GB", "modle=small"], "modle"),
        (["gpu=80GB", "data.batches=streaming", "data.views=[4,4]"], "model=zipmap_streaming has both"),
    ],
)
def test_mistakes_end_in_one_line(words: list[str], told: str, capsys) -> None:
    assert main(["plan", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_other_commands_do_not_wait_for_it() -> None:
    code = "import zipmap_pl.cli.plan, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
