"""Training in several real processes on this machine, as torchrun would start them: gloo, on the CPU.

They come from a server that has torch loaded, because loading it takes longer than a small run.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["zipmap_pl.training.fit", "training_tasks"])
KILLED = -signal.SIGKILL  # exit code
PATIENCE = 540  # seconds; below pytest's own, so that the logs are shown


def start(task: Callable[..., Any], world: int, *arguments: object, log: Path, nodes: int = 1) -> list[BaseProcess]:
    """Run `task(*arguments)` in `world` processes on what looks like `nodes` nodes to them. What they say goes to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log.mkdir(parents=True, exist_ok=True)
    processes = []
    for rank in range(world):
        devices = world // nodes
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank % devices,
            "GROUP_RANK": rank // devices,
            "WORLD_SIZE": world,
            "LOCAL_WORLD_SIZE": devices,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "test",
            "OMP_NUM_THREADS": 1,
        }
        where = log / f"{rank}.txt"
        process = SERVER.Process(target=_run, args=(task, arguments, environment, where))
        process.start()
        processes.append(process)
    return processes


def run(task: Callable[..., Any], world: int, *arguments: object, log: Path, nodes: int = 1, expected: int = 0) -> None:
    """Start them and wait for them; all have to leave with the `expected` status."""
    processes = start(task, world, *arguments, log=log, nodes=nodes)
    for process in processes:
        process.join(PATIENCE)
    found = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    told = "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(log.iterdir()))
    assert found == [expected] * world, f"they left with {found}\n{told}"


def end_all(processes: list[BaseProcess]) -> None:
    """What a launcher does when one of them is gone."""
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _run(task: Callable[..., Any], arguments: tuple[object, ...], environment: dict[str, object], where: Path) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    stream = where.open("a", buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    try:
        task(*arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if "torch" in sys.modules:
            import torch

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
