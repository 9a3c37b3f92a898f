"""A dataset of pictures as small as stamps, for tests that read a lot of them."""

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig, DatasetConfig, ValidationConfig
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions


@pytest.fixture(scope="session")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scenes to train on and three held out, eight frames of 16 x 16 pixels each, in shards of twelve frames."""
    folder = tmp_path_factory.mktemp("stamps") / "stamps"
    options = SceneOptions(width=16, height=16, views=8, moving_objects=1)
    settings = EngineSettings(lossless=True, frames_per_shard=12)
    preprocess(SyntheticReader(options, 5, 3), folder, settings, workers=1)
    return folder


@pytest.fixture
def own_stamps(stamps: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(stamps, tmp_path / "stamps"))


@pytest.fixture(scope="session")
def stamp_config() -> Callable[..., DataConfig]:
    """Settings for such a dataset, by its folder and what is different."""

    def made(folder: Path, **changes: object) -> DataConfig:
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

    return made


@pytest.fixture(scope="session")
def plain() -> Callable[[Batch], dict[str, object]]:
    """A batch as values that can be compared."""

    def made(batch: Batch) -> dict[str, object]:
        entries = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
        return {
            name: value.numpy().tobytes() if isinstance(value, Tensor) else value for name, value in entries.items()
        }

    return made
