"""Datasets by name: a reader is a module of this package, and its name is the dataset's.

A reader module offers `add_arguments(parser)`, which calls the folder of raw data "raw" if there is one, and
`reader_from_arguments(args) -> RawReader`. docs/adding-a-dataset.md shows the way.
"""

from importlib import import_module
from types import ModuleType

from zipmap_pl.errors import UserError

# One per line, sorted: a new dataset adds its line here.
NAMES = (
    "dl3dv",
    "hypersim",
    "rgbd_folder",
    "scannet",
    "synthetic",
    "tartanair",
    "wildrgbd",
)


def reader_module(name: str) -> ModuleType:
    """The module that reads dataset `name`. Raises UserError for an unknown name."""
    if name not in NAMES:
        raise UserError(f"dataset {name!r} is not known; there are {', '.join(NAMES)}")
    return import_module(f"zipmap_pl.preprocess.zoo.{name}")
