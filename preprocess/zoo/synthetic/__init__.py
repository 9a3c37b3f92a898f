"""Generated rooms."""

from zipmap_pl.preprocess.zoo.synthetic.reader import INFO
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader as READER

__all__ = ["INFO", "READER"]
