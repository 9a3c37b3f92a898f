"""DL3DV-10K."""

from zipmap_pl.preprocess.zoo.dl3dv.reader import DL3DV, add_arguments, reader_from_arguments

__all__ = ["DL3DV", "add_arguments", "reader_from_arguments"]
