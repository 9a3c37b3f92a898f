"""The `zipmap` command: finds the subcommand, imports only that one, and turns a UserError into one line."""

import argparse
import importlib
import io
import os
import select
import sys
from collections.abc import Sequence

from zipmap_pl.cli.parser import OneLineParser
from zipmap_pl.errors import UserError
from zipmap_pl.version import __version__

# Subcommand -> (module, what it does). Each module offers add_parser(subparsers) and run(arguments) -> exit status.
COMMANDS = {
    "datasets": ("zipmap_pl.cli.datasets", "the published datasets: terms, size, and which of them are here"),
    "preprocess": ("zipmap_pl.cli.preprocess", "turn a raw dataset into shards"),
    "shards": ("zipmap_pl.cli.shards", "look at, check and finish datasets in shards"),
    "fetch": ("zipmap_pl.cli.fetch", "published weights into the caches of this machine"),
    "data": ("zipmap_pl.cli.data", "look at the batches that a run will train on"),
    "fit": ("zipmap_pl.cli.fit", "train a stage (the same as python train.py)"),
    "reconstruct": ("zipmap_pl.cli.reconstruct", "photos or a video in; cameras, depth and a point cloud out"),
    "plan": ("zipmap_pl.cli.plan", "will a stage fit into the memory of a GPU"),
    "checkpoint": ("zipmap_pl.cli.checkpoint", "what weights are; one file of them; to the hub and back"),
    "doctor": ("zipmap_pl.cli.doctor", "what a bug report needs, and a self-test"),
    "demo": ("zipmap_pl.cli.demo", "the whole way on generated scenes: shards, training, reconstruction"),
}
TAKE_SETTINGS = {"fit", "data", "plan"}
RESUMABLE = {"preprocess", "fit", "demo"}
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_NOBODY_READS = 141  # as a shell has it of a program that SIGPIPE ended


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser with all subcommands by name and the options of the chosen one; the others are not imported."""
    parser = OneLineParser(prog="zipmap", description="Feed-forward 3D reconstruction that people train themselves.")
    parser.add_argument("--version", action="version", version=f"zipmap {__version__}")
    parser.takes_settings = chosen in TAKE_SETTINGS
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        if name == chosen:
            importlib.import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status; 2 for a mistake that the user can mend, told in one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    try:
        options = build_parser(chosen).parse_args(arguments)
        status = importlib.import_module(COMMANDS[options.command][0]).run(options)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"zipmap: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except BrokenPipeError as error:
        if _nobody_reads():
            return EXIT_NOBODY_READS
        print(f"zipmap: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except OSError as error:  # no permission, disk full, ...: nothing of ours is wrong
        print(f"zipmap: {error.filename or ''}: {error.strerror or error}".replace(": : ", ": "), file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        goes_on = "; the same command goes on where this one stopped" if chosen in RESUMABLE else ""
        print(f"zipmap: interrupted{goes_on}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _nobody_reads() -> bool:
    """Whether our output goes to a program that has ended, as `head` does; then nothing is written to it any more."""
    reader = select.poll()
    reader.register(sys.stdout, 0)  # a lost reader is always told
    if not reader.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


if __name__ == "__main__":
    sys.exit(main())
