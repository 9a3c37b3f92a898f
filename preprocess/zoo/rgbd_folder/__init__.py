"""Your own RGB-D sequences."""

from zipmap_pl.preprocess.zoo.rgbd_folder.reader import INFO
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder as READER

__all__ = ["INFO", "READER"]
