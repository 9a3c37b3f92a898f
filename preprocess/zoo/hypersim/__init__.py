"""Hypersim."""

from zipmap_pl.preprocess.zoo.hypersim.reader import INFO
from zipmap_pl.preprocess.zoo.hypersim.reader import Hypersim as READER

__all__ = ["INFO", "READER"]
