"""DL3DV-10K."""

from zipmap_pl.preprocess.zoo.dl3dv.reader import DL3DV as READER
from zipmap_pl.preprocess.zoo.dl3dv.reader import INFO

__all__ = ["INFO", "READER"]
