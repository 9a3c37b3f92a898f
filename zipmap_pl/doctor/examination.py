"""All that `zipmap doctor` looks at besides versions. Importing it imports torch and most of the package."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from zipmap_pl.doctor.holdings import cache_folders, datasets, runs, weights
from zipmap_pl.doctor.machine import devices, memory
from zipmap_pl.doctor.section import Section
from zipmap_pl.doctor.self_test import self_test


def examine(published: Mapping[str, str], shards: Path, runs_folder: Path) -> list[Section]:
    """Look at everything and run the self-test.

    Args:
        published: name for `zipmap fetch` -> file on the hub.
        shards, runs_folder: where datasets and runs are looked for.
    """
    logging.getLogger("zipmap_pl").setLevel(logging.WARNING)
    places = {"current folder": Path.cwd(), **cache_folders()}
    return [
        devices(),
        memory(places),
        weights(published),
        datasets(shards),
        runs(runs_folder),
        self_test(names_of_devices()),
    ]


def names_of_devices() -> list[str]:
    """The devices that torch can use, by the names that --device takes."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
