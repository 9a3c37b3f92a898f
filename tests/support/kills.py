"""Preprocessing runs that die at a chosen system call that makes files, as kill -9 or a power cut would have it."""

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawReader

Tree = Callable[[Path], dict[str, bytes]]


def run_and_die(reader: RawReader, output: Path, calls: int, settings: EngineSettings) -> int:
    """Run in a forked child that kills itself at file operation number `calls`; returns how it ended."""
    child = os.fork()
    if child == 0:
        left = calls
        names = ("open", "fsync", "replace")
        real = {name: getattr(os, name) for name in names}

        def dying(name: str) -> Callable:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real[name](*args, **kwargs)

            return call

        try:
            for name in names:
                setattr(os, name, dying(name))
            preprocess(reader, output, settings, workers=1)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check_kills(
    tree: Tree,
    reader: RawReader,
    unbroken: dict[str, bytes],
    folder: Path,
    moments: Iterable[int],
    settings: EngineSettings,
) -> int:
    """Kill at each moment, look at what has a final name, go on, compare; returns how many runs died."""
    died = 0
    for moment in moments:
        output = folder / str(moment)
        died += run_and_die(reader, output, moment, settings) == -signal.SIGKILL
        for tar in output.rglob("*.tar"):
            assert tar.read_bytes() == unbroken[str(tar.relative_to(output))]
        preprocess(reader, output, settings, workers=1)
        assert tree(output) == unbroken, f"killed at file operation {moment}"
    return died
