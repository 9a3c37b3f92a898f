"""Twenty steps whose losses were once written down: whoever changes numbers without meaning to sees it here.

Who means to runs this file as a program: it writes the new ones beside itself.
"""

import json
import platform
import re
import sys
import tempfile
from pathlib import Path

import pytest
import torch
import training_tasks as tasks
from training_processes import run
from training_results import scalars

RECORD = Path(__file__).with_name("recorded_losses.json")
STEPS = 20
SETTINGS = [
    "~data.validation.rooms",
    "data.images_per_gpu=4",
    "data.workers=0",
    "model.embed_dim=48",
    "model.tokenizer.depth=1",
    "model.ttt.head_dim=16",
    "stage.loss.scale_samples=256",
    "+stage.optimizer.rates={*ttt_block*: 1e-4}",  # the published rates; larger ones make another machine's rounding grow
    "stage.optimizer.learning_rate=1e-5",
    f"stage.steps={STEPS}",
    "trainer.log_every=1",
    "trainer.pictures_every=1000",
    "trainer.accelerator=cpu",
    "prepare=[]",
]


def losses(rooms: Path, output: Path) -> list[float]:
    """Total losses of the run; the same bits wherever torch's kernels are the same."""
    run(tasks.train, 1, [*SETTINGS, f"data.train.rooms.path={rooms}", f"output={output}"], log=output / "log")
    return [value for _, value in scalars(output, "loss/total")]


def here() -> dict[str, str]:
    """What the last bits depend on: libraries choose their kernels by the processor."""
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "torch": torch.__version__,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "processor": processor[1] if processor else platform.machine(),
    }


def test_losses_are_those_that_were_recorded(rooms: Path, tmp_path: Path) -> None:
    recorded = json.loads(RECORD.read_text())
    found = losses(rooms, tmp_path)
    if here() == {name: recorded.get(name) for name in here()}:
        assert found == recorded["losses"]
    assert found == pytest.approx(recorded["losses"], rel=1e-5)
    assert len(found) == STEPS


if __name__ == "__main__":
    from zipmap_pl.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "rooms"
        made_of = "--scenes 6 --heldout 2 --views 4 --lossless --workers 1"  # as in conftest.py
        if main(["preprocess", "synthetic", *made_of.split(), "--output", str(made)]):
            sys.exit("no rooms")
        RECORD.write_text(json.dumps({**here(), "losses": losses(made, Path(folder) / "run")}, indent=2) + "\n")
