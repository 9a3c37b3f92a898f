"""torchrun starts a run again by itself when one of its processes has died."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import training_tasks as tasks
from lightning.pytorch.plugins.environments import TorchElasticEnvironment
from training_processes import PATIENCE, run
from training_results import differing, scalars

from zipmap_pl.training.parallel.strategies import World, meet

STEPS = 30


def ranks_of(launcher: int) -> list[int]:
    """The processes that a torchrun has started, by the number of their rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    ranks = {}
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found = [int(entry[5:]) for entry in environment if entry.startswith(b"RANK=")]
        ranks |= {found[0]: int(child)} if found else {}
    return [ranks[rank] for rank in sorted(ranks)]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until it is there."""
    while not path.exists():
        assert process.poll() is None, "torchrun has ended"
        time.sleep(0.02)


def test_an_attempt_does_not_find_the_addresses_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    # What torchrun keeps while it starts processes again.
    server = torch.distributed.TCPStore("127.0.0.1", int(place["MASTER_PORT"]), is_master=True, wait_for_workers=False)
    stores = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, store, **__: stores.append(store))
    launched = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for attempt in "01":
        for name, value in (place | launched | {"TORCHELASTIC_RESTART_COUNT": attempt}).items():
            monkeypatch.setenv(name, value)
        meet(World(1, 2, TorchElasticEnvironment()), on_gpu=False)
    first, second = stores
    first.set("address of 0", "of the dead")
    assert first.check(["address of 0"])
    assert not second.check(["address of 0"])
    del server


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_torchrun_goes_on_by_itself_after_a_death_and_ends_bit_for_bit_as_without(
    smallest_run: list[str], tmp_path: Path
) -> None:
    """Killed twice: the second process somewhere after step 3, the first one somewhere after step 12."""
    settings = [
        *(setting for setting in smallest_run if "data.validation" not in setting),
        "~data.validation.rooms",
        "data.images_per_gpu=4",
        "data.views=[2,2]",
        "trainer.pictures_every=1000",
        "trainer.validate_every=1000",
        "trainer.checkpoint_every=3",
        "trainer.strategy=fsdp",
        f"stage.steps={STEPS}",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(tasks.train, 2, [*settings, f"output={whole}"], log=tmp_path / "log")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "3"]
    fit = ["-m", "zipmap_pl.cli.main", "fit", *settings, f"output={killed}"]
    with (tmp_path / "told.txt").open("wb") as told:
        process = subprocess.Popen(
            [*torchrun, *fit], stdout=told, stderr=told, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            for step, rank in ((3, 1), (12, 0)):
                wait_for(killed / "checkpoints" / f"step-{step:08d}", process)
                os.kill(ranks_of(process.pid)[rank], signal.SIGKILL)
            status = process.wait(PATIENCE)
        finally:
            process.terminate()  # ends its processes, too
            process.wait()
    text = (tmp_path / "told.txt").read_text()
    assert status == 0, text[-3000:]
    assert text.count("going on from") == 2
    assert differing(whole, killed) == []
    assert scalars(whole, "loss/total") == scalars(killed, "loss/total")
