"""`zipmap doctor`: what a bug report needs to say about this machine, and whether the package works on it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zipmap_pl.doctor.section import Section


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
    from zipmap_pl.doctor.text import report
    from zipmap_pl.doctor.versions import versions
    from zipmap_pl.progress import working

    with working("looking around, and running the self-test"):
        sections = [versions(), *_others(arguments)]
    print(report(sections))
    return int(any(section.broken for section in sections))


def _others(arguments: argparse.Namespace) -> "list[Section]":
    """The sections that need the package to be importable, or one that says why it is not."""
    from zipmap_pl.cli.fetch import ON_THE_HUB
    from zipmap_pl.doctor.section import Section, first_line

    try:
        from zipmap_pl.doctor.examination import examine
    except (ImportError, OSError, RuntimeError) as error:  # a library is missing, or torch's own libraries do not fit
        remedy = "install it again in a new environment: python -m pip install zipmap_pl"
        return [Section("Import", broken=[f"the package cannot be imported ({first_line(error)}); {remedy}"])]
    return examine(ON_THE_HUB, arguments.shards, arguments.runs)
