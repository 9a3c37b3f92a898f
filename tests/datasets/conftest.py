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
