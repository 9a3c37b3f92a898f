"""Generated rooms."""

from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader, add_arguments, reader_from_arguments

__all__ = ["SyntheticReader", "add_arguments", "reader_from_arguments"]
