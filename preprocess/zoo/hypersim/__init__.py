"""Hypersim."""

from zipmap_pl.preprocess.zoo.hypersim.reader import Hypersim, add_arguments, reader_from_arguments

__all__ = ["Hypersim", "add_arguments", "reader_from_arguments"]
