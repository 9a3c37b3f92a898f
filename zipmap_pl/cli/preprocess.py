"""`zipmap preprocess NAME ... --output DIR`: raw data in, a folder of shards out."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zipmap_pl.cli.parser import OneLineParser
from zipmap_pl.cli.words import counted, passed_over_lines
from zipmap_pl.errors import UserError

if TYPE_CHECKING:
    from zipmap_pl.preprocess.engine.run import Report
    from zipmap_pl.preprocess.engine.settings import EngineSettings
    from zipmap_pl.preprocess.raw import RawReader
    from zipmap_pl.preprocess.registry import Dataset

LISTED_FAULTS = 10
EXIT_DISAGREEMENT = 3  # shards are there, but depth and cameras of more than a few scenes disagree
HINT = (
    "`zipmap preprocess NAME --help` lists a dataset's options. The same command resumes where it stopped.\n"
    "Exit status: 0 = done, 2 = an error in one line, 3 = depth and cameras disagree (a misunderstood convention?)"
)


def add_parser(subparsers) -> None:
    """Add `preprocess` to the `zipmap` command. What follows NAME is parsed in `run`, by that dataset's own parser."""
    from zipmap_pl.preprocess.registry import first_lines

    width = max(map(len, first_lines()), default=0)
    lines = [f"  {name:<{width}}  {line}" for name, line in first_lines().items()]
    parser = subparsers.add_parser(
        "preprocess",
        help="turn a raw dataset into shards",
        epilog="\n".join(["datasets:", *lines, "", HINT]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="dataset, one of those below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="raw folder and options, see NAME --help")


def run(args: argparse.Namespace) -> int:
    """Preprocess. Returns 3 if depth and cameras disagree. Raises UserError."""
    from zipmap_pl.preprocess.registry import load_dataset

    dataset = load_dataset(args.name)
    parser = dataset_parser(dataset)
    options = parser.parse_args(args.rest)
    if options.output is None and not options.check:
        parser.error("the following arguments are required: --output (or --check, to look at the raw data only)")
    if options.output is not None:
        refuse_output_in_raw(options)

    from zipmap_pl.preprocess.engine.run import preprocess
    from zipmap_pl.preprocess.engine.settings import EngineSettings
    from zipmap_pl.preprocess.engine.watch import Disagreement

    settings = EngineSettings(options.max_side, options.frames_per_shard, options.lossless, options.max_fault_share)
    reader = dataset.reader_from(options)
    if options.check:
        return _check(args.name, reader, settings, options)
    try:
        report = preprocess(
            reader, options.output, settings, options.workers, options.part, options.rebuild, options.yes
        )
    except Disagreement as error:
        print(f"zipmap: {error}", file=sys.stderr)
        return EXIT_DISAGREEMENT
    print(report_text(report))
    return EXIT_DISAGREEMENT if disagrees(report) else 0


def _check(name: str, reader: "RawReader", settings: "EngineSettings", options: argparse.Namespace) -> int:
    """Look at the first scenes. Returns 3 if they are misread."""
    from zipmap_pl.cli.check_text import check_text, is_wrong
    from zipmap_pl.preprocess.engine.dry_run import look_at

    if options.check_scenes < 1:
        raise UserError(f"--check-scenes {options.check_scenes}: expected 1 or more")
    look = look_at(reader, settings, options.workers, options.check_scenes)
    print(check_text(name, look, options.workers))
    return EXIT_DISAGREEMENT if is_wrong(look) else 0


def disagrees(report: "Report") -> bool:
    """Return True if more than a few scenes disagree: surfaces that hide each other do not explain that."""
    from zipmap_pl.datasets.inspection.agreement import FEW

    return len(report.disagreeing) > FEW * report.checked


def refuse_output_in_raw(options: argparse.Namespace) -> None:
    """Raise UserError if the shards would come to lie inside the raw data (of readers that have a raw folder)."""
    raw = getattr(options, "raw", None)
    if raw is not None and options.output.resolve().is_relative_to(raw.resolve()):
        raise UserError(f"--output {options.output}: lies inside the raw folder {raw}; give a folder outside of it")


def dataset_parser(dataset: "Dataset") -> argparse.ArgumentParser:
    """The parser of one dataset: its reader's options and the engine's."""
    from zipmap_pl.preprocess.engine.settings import EngineSettings

    parser = OneLineParser(
        prog=f"zipmap preprocess {dataset.name}",
        description=dataset.description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    dataset.add_options(parser)
    default = EngineSettings()
    group = parser.add_argument_group("shards")
    group.add_argument(
        "--output", type=Path, metavar="DIR", help="dataset folder, for example shards/NAME; required without --check"
    )
    text = "look at 64 frames of the first scenes of each split, print what to expect, whether the data are read rightly, and"
    group.add_argument("--check", action="store_true", help=f"{text} which mistake fits if not; writes nothing")
    text = "scenes of each split that --check looks at (default: %(default)s)"
    group.add_argument("--check-scenes", type=int, default=3, metavar="N", help=text)
    group.add_argument(
        "--workers", type=int, default=usable_processors(), metavar="N", help="processes (default: %(default)s)"
    )
    text = "write every n-th shard only, on n machines for example; the last part to end finishes the dataset"
    group.add_argument("--part", type=_part, default=(1, 1), metavar="i/n", help=text)
    text = "longer side of stored pictures; JPEGs up to 1.25 times larger are kept as they are (default: %(default)s)"
    group.add_argument("--max-side", type=int, default=default.max_side, metavar="PIXELS", help=text)
    text = "planned frames of a shard (default: %(default)s)"
    group.add_argument("--frames-per-shard", type=int, default=default.frames_per_shard, metavar="N", help=text)
    text = "store pictures as PNG where they cannot be kept as they are (default: JPEG q95 4:4:4)"
    group.add_argument("--lossless", action="store_true", help=text)
    text = "share of frames that may be unusable (default: %(default)s)"
    group.add_argument("--max-fault-share", type=float, default=default.max_fault_share, metavar="SHARE", help=text)
    text = "go on although depth and cameras disagree in most of the first ten scenes"
    group.add_argument("--yes", action="store_true", help=text)
    group.add_argument("--rebuild", action="store_true", help="throw away shards that are there, and start anew")
    return parser


def report_text(report: "Report") -> str:
    """What a run did, for people."""
    from zipmap_pl.preprocess.engine.state import named_once

    lines = [
        f"{report.output}: {counted(report.frames_planned, 'frame')} of {counted(report.scenes, 'scene')}"
        f" in {counted(report.shards, 'shard')}, {report.shards_written} of them written now,"
        f" {counted(len(report.faults), 'frame')} unusable"
    ]
    for word, faults in (("unusable", report.faults), ("left out", report.left_out)):
        named = named_once(faults)
        lines += [f"  {word}: {line}" for line in named[:LISTED_FAULTS]]
        if named[LISTED_FAULTS:]:
            lines.append(f"  ... and {len(named) - LISTED_FAULTS} more in dataset.json")
    lines += [f"  {line}" for line in passed_over_lines(report.passed_over)]
    if report.disagreeing:
        count, first = len(report.disagreeing), ", ".join(report.disagreeing[:3])
        first += ", ..." if report.disagreeing[3:] else ""
        if disagrees(report):
            lines.append(
                f"DISAGREEMENT of depth and cameras in {count} of {counted(report.checked, 'compared scene')}: {first};"
                " `--check` in place of `--output DIR` looks for the mistake (exit status 3)"
            )
        else:
            lines.append(f"depth and cameras agree in all but {count} of {report.checked} scenes ({first})")
    if report.complete and report.checked < report.scenes:
        lines.append(
            f"{report.scenes - report.checked} of {counted(report.scenes, 'scene')} not checked (see `zipmap shards info`)"
        )
    if report.complete:
        lines.append(
            f"complete; check the conventions with `zipmap shards info {report.output}`, look at it with `zipmap shards show ...`"
        )
    else:
        lines.append(f"{report.shards_missing} shards are still to be written by the other parts")
    return "\n".join(lines)


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _part(text: str) -> tuple[int, int]:
    try:
        place, count = (int(number) for number in text.split("/"))
    except ValueError as error:
        raise UserError(f"--part {text}: expected i/n, for example 1/4") from error
    return place, count
