"""Settings and batches of the dataset of pictures as small as stamps, which is the fixture `stamps`."""

from dataclasses import fields
from pathlib import Path

from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig, ValidationConfig
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig


def stamp_config(folder: Path, **changes: object) -> DataConfig:
    """Settings for such a dataset, by its folder and what is different."""
    defaults = {
        "train": {"stamps": DatasetConfig(str(folder), sampling={"rule": "unordered"})},
        "validation": {"stamps": DatasetConfig(str(folder), split="heldout")},
        "width": 14,
        "aspect": [1.0, 1.0],
        "views": [2, 4],
        "images_per_gpu": 8,
        "workers": 0,
        "augmentation": AugmentationConfig(colour="gain_offset"),
        "validation_sets": ValidationConfig(views=3),
    }
    return DataConfig(**{**defaults, **changes})


def plain(batch: Batch) -> dict[str, object]:
    """A batch as values that can be compared."""
    entries = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    return {name: value.numpy().tobytes() if isinstance(value, Tensor) else value for name, value in entries.items()}
