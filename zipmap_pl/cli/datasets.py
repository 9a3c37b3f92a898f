"""`zipmap datasets`: the datasets of the published recipes, their terms and sizes, and which of them are on this machine."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zipmap_pl.preprocess.raw import DatasetInfo

COMMERCIAL = {True: "also commercial use", False: "no commercial use", None: "commercial use not stated"}


def add_parser(subparsers) -> None:
    """Add `datasets` to the `zipmap` command."""
    parser = subparsers.add_parser(
        "datasets",
        help="the published datasets: terms, size, and which of them are here",
        description="List the datasets of the published recipes: what they are, licence, where to register or download,"
        " size, and whether their shards are here. The licence is a summary: read the owners' text before you train.",
    )
    text = "folder that holds the shards of datasets, as data.shards of `zipmap fit` (default: %(default)s)"
    parser.add_argument("--shards", type=Path, default=Path("shards"), metavar="DIR", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Print three lines for each dataset."""
    from zipmap_pl.preprocess.registry import dataset_names, published

    built = set(dataset_names())
    here = 0
    for name, info in published().items():
        status = shards_status(arguments.shards / name) or (
            "reader, no shards here" if name in built else "no reader yet"
        )
        here += status.startswith("shards here")
        print("\n".join(_lines(name, info, status)))
    names = len(published())
    print(f"{names} datasets, {len(built & set(published()))} with a reader, {here} in shards below {arguments.shards}")
    return 0


def _lines(name: str, info: "DatasetInfo", status: str) -> list[str]:
    metric = "metric" if info.metres_per_raw_unit else "not metric"
    return [
        f"{name:<16} {info.title} ({info.kind}, {info.source}, {metric}): {status}",
        f"{'':<16} {info.licence} ({COMMERCIAL[info.commercial]})",
        f"{'':<16} {info.url}; raw data: {info.raw_size}",
    ]


def shards_status(folder: Path) -> str:
    """What is in the folder of a dataset's shards; empty if nothing is."""
    from zipmap_pl.cli.words import counted
    from zipmap_pl.datasets.format.schema import DATASET_FILE, PLAN_FOLDER
    from zipmap_pl.datasets.format.shard_index import ShardIndex
    from zipmap_pl.errors import UserError

    if (folder / DATASET_FILE).is_file():
        try:
            index = ShardIndex.open(folder)
        except UserError:
            return f"shards here, damaged: see `zipmap shards verify {folder}`"
        return f"shards here, {counted(index.frame_count, 'frame')} of {counted(index.scene_count, 'scene')}"
    return "shards here, not complete" if (folder / PLAN_FOLDER).is_dir() else ""
