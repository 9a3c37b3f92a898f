"""The data layer measured: the loader against bare decoding and against loose files, the index, what is read, what grows.

    python benchmarks/data.py loader --data FOLDER   # FOLDER holds the real sequences, see docs/real_data.md
    python benchmarks/data.py index --frames 30000000
    python benchmarks/data.py bytes
    python benchmarks/data.py growth --batches 2000

Everything is made in a temporary folder (`--folder`) and deleted; an index of 30 million frames takes 5 GB there. What
counts are ratios of one run, from CPU time, the fastest of rounds that take turns: a busy machine costs little. Exit
status 1 if a limit is missed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from checks import say
from data_index import index
from data_loader import loader
from data_reading import bytes_read, growth


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, measure in {"loader": loader, "index": index, "bytes": bytes_read, "growth": growth}.items():
        command = commands.add_parser(name, help=measure.__doc__)
        command.set_defaults(measure=measure)
        command.add_argument("--folder", type=Path, help="where the temporary folder is made")
        if name == "loader":
            command.add_argument("--data", type=Path, required=True, help="folder of the real sequences")
            command.add_argument("--batches", type=int, default=4, help="of 2 scenes with 24 views, per round")
            command.add_argument("--rounds", type=int, default=5)
        if name == "index":
            command.add_argument("--frames", type=int, default=30_000_000)
            command.add_argument("--scene", type=int, default=1000, help="frames of a scene")
            command.add_argument("--draws", type=int, default=1000, help="of each rule")
        if name == "bytes":
            command.add_argument("--frames", type=int, default=5000, help="of the scene")
        if name == "growth":
            command.add_argument("--batches", type=int, default=2000)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status."""
    args = parse(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="data-benchmark-") as folder:
        checks = args.measure(args, Path(folder))
    say("| measured | found | wanted | holds |\n|---|---:|---|---|")
    for check in checks:
        say(str(check))
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
