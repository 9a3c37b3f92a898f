"""Datasets by name: a reader is a module or package of `preprocess.zoo`, and its name is the dataset's.

A reader module offers two names:

- `INFO`: a `DatasetInfo`, what is known of the dataset without its raw data;
- `READER`: the class of its `RawReader`, a dataclass whose options are its fields (`preprocess.options`).

The docstring of the module or package is what `zipmap preprocess NAME --help` shows. docs/adding-a-dataset.md shows the way.
"""

import argparse
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from zipmap_pl import discovery
from zipmap_pl.preprocess import options, zoo
from zipmap_pl.preprocess.not_built import NOT_BUILT
from zipmap_pl.preprocess.raw import DatasetInfo, RawReader


def dataset_names() -> list[str]:
    """Names of all datasets, sorted. Imports none of their readers."""
    return discovery.names_in(zoo)


def published() -> dict[str, DatasetInfo]:
    """What is known of each dataset of the published recipes by its name, sorted, with a reader or without."""
    built = {name: load_dataset(name).info for name in dataset_names()}
    found = {name: info for name, info in built.items() if info.url} | NOT_BUILT  # others are made here, or the user's
    return dict(sorted(found.items()))


def first_lines() -> dict[str, str]:
    """The first line of every reader's docstring by the dataset's name, sorted. Reads the files, imports none of them."""
    return {name: _first_line(name) for name in dataset_names()}


def _first_line(name: str) -> str:
    """Empty if the file does not begin with a docstring."""
    spec = find_spec(f"{zoo.__name__}.{name}")
    assert spec is not None and spec.origin is not None, name
    found = re.match(r'"""(.*?)(?:"""|\n)', Path(spec.origin).read_text("utf-8", "replace"))
    return found[1] if found else ""


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be preprocessed.

    Attributes:
        name: as in `zipmap preprocess NAME`.
        description: the raw layout, as `--help` shows it.
        info: what is known of it without raw data.
        reader: the class of its reader.
    """

    name: str
    description: str | None
    info: DatasetInfo
    reader: type

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Give a parser the reader's options."""
        options.add_options(parser, self.reader)

    def reader_from(self, args: argparse.Namespace) -> RawReader:
        """The reader that parsed arguments describe. Raises UserError."""
        return options.reader_from(self.reader, args)


def load_dataset(name: str) -> Dataset:
    """The dataset `name`. Raises UserError for an unknown name, or a module that lacks INFO or READER."""
    module = discovery.load(zoo, name, "dataset", ["INFO", "READER"])
    return Dataset(name, module.__doc__, module.INFO, module.READER)
