"""Your own RGB-D sequences."""

from zipmap_pl.preprocess.zoo.rgbd_folder.options import add_arguments
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, reader_from_arguments

__all__ = ["RgbdFolder", "add_arguments", "reader_from_arguments"]
