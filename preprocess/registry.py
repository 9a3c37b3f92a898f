"""Datasets by name: a reader is a module or package of `preprocess.zoo`, and its name is the dataset's.

A reader module offers two names:

- `INFO`: a `DatasetInfo`, what is known of the dataset without its raw data;
- `READER`: the class of its `RawReader`, a dataclass whose options are its fields (`preprocess.options`).

The docstring of the module that defines the class is what `--help` shows. docs/adding-a-dataset.md shows the way.
"""

import argparse
import sys
from dataclasses import dataclass

from zipmap_pl import discovery
from zipmap_pl.preprocess import options, zoo
from zipmap_pl.preprocess.raw import DatasetInfo, RawReader


def dataset_names() -> list[str]:
    """Names of all datasets, sorted. Imports none of their readers."""
    return discovery.names_in(zoo)


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be preprocessed.

    Attributes:
        name: as in `zipmap preprocess NAME`.
        info: what is known of it without raw data.
        reader: the class of its reader.
    """

    name: str
    info: DatasetInfo
    reader: type

    @property
    def description(self) -> str | None:
        """What `--help` shows: the raw layout."""
        return sys.modules[self.reader.__module__].__doc__

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Give a parser the reader's options."""
        options.add_options(parser, self.reader)

    def reader_from(self, args: argparse.Namespace) -> RawReader:
        """The reader that parsed arguments describe. Raises UserError."""
        return options.reader_from(self.reader, args)


def load_dataset(name: str) -> Dataset:
    """The dataset `name`. Raises UserError for an unknown name, or a module that lacks INFO or READER."""
    module = discovery.load(zoo, name, "dataset", ["INFO", "READER"])
    return Dataset(name, module.INFO, module.READER)
