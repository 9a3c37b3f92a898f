"""The whole report as text that can be pasted into an issue."""

import getpass
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import get_token

from zipmap_pl.doctor.holdings import cache_folders, datasets, runs, weights
from zipmap_pl.doctor.machine import devices, memory
from zipmap_pl.doctor.section import Section
from zipmap_pl.doctor.self_test import self_test
from zipmap_pl.doctor.versions import versions

WIDTH = 26  # of the names


def examine(published: Mapping[str, str], shards: Path, runs_folder: Path) -> list[Section]:
    """Look at everything and run the self-test.

    Args:
        published: name for `zipmap fetch` -> file on the hub.
        shards, runs_folder: where datasets and runs are looked for.
    """
    logging.getLogger("zipmap_pl").setLevel(logging.WARNING)
    places = {"current folder": Path.cwd(), **cache_folders()}
    return [
        versions(),
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


def report(sections: list[Section]) -> str:
    """The sections as plain text, and at the end what is broken. Nothing in it is secret; see `without_secrets`."""
    blocks = [
        "\n".join([section.title, *(f"  {name:{WIDTH}} {value}" for name, value in section.lines)])
        for section in sections
    ]
    broken = [line for section in sections for line in section.broken]
    end = ["Broken", *(f"  {line}" for line in broken)] if broken else ["Nothing is broken."]
    return without_secrets("\n\n".join([*blocks, "\n".join(end)]))


def without_secrets(text: str) -> str:
    """The text with the home folder as ~, and without the user's name in other paths, the hub's token and passwords in URLs."""
    text = re.sub(rf"{re.escape(str(Path.home()))}(?![\w.-])", "~", text) if Path.home() != Path("/") else text
    user = re.escape(getpass.getuser())
    text = re.sub(rf"(?<=[/_]){user}(?=[/,\s]|$)", "<user>", text, flags=re.MULTILINE)
    token = get_token()
    text = text.replace(token, "<token>") if token else text
    return re.sub(r"(?<=://)[^/\s@]+@", "<secret>@", text)
