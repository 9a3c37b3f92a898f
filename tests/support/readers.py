"""Readers of raw data as the command line makes them."""

import argparse

from zipmap_pl.preprocess.raw import RawReader
from zipmap_pl.preprocess.registry import load_dataset


def reader_of(name: str, *arguments: object) -> RawReader:
    """The reader of `zipmap preprocess NAME ARGUMENTS...`, without the engine's options. Raises UserError."""
    dataset, parser = load_dataset(name), argparse.ArgumentParser()
    dataset.add_options(parser)
    return dataset.reader_from(parser.parse_args([str(argument) for argument in arguments]))
