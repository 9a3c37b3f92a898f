"""`zipmap doctor`: what a bug report needs to say about this machine, and whether the package works on it."""

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    """Add `doctor` to the `zipmap` command."""
    parser = subparsers.add_parser(
        "doctor",
        help="versions, devices, memory, caches, shards, runs and a self-test, for a bug report",
        description="Print all that a bug report needs, without secrets, and run a self-test of at most 20 seconds. Exit "
        "status 1 if something is broken; the last lines say what, and what to do.",
    )
    for name in ("shards", "runs"):
        text = f"folder in which {name} are looked for (default: %(default)s)"
        parser.add_argument(f"--{name}", type=Path, default=Path(name), metavar="DIR", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Returns 1 if something is broken."""
    from zipmap_pl.cli.fetch import ON_THE_HUB
    from zipmap_pl.doctor.report import examine, report
    from zipmap_pl.progress import working

    with working("looking around, and running the self-test"):
        sections = examine(ON_THE_HUB, arguments.shards, arguments.runs)
    print(report(sections))
    return int(any(section.broken for section in sections))
