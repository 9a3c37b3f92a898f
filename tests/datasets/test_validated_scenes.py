"""Validation knows whether its scenes are trained on: of the settings, without looking into any shard."""

from pathlib import Path

import pytest

from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.training.config import compose

TRAIN = {"rooms": DatasetConfig("shards/rooms"), "left_out": DatasetConfig("shards/halls", weight=0)}


@pytest.mark.parametrize(
    ("validation", "scenes"),
    [
        ([], "held-out"),
        ([DatasetConfig("shards/rooms", split="heldout")], "held-out"),
        ([DatasetConfig("shards/halls")], "held-out"),
        ([DatasetConfig("shards/rooms")], "training"),
        ([DatasetConfig("shards/../shards/rooms/")], "training"),
        ([DatasetConfig("shards/rooms"), DatasetConfig("shards/halls")], "held-out and training"),
        ([DatasetConfig("shards/rooms", weight=0), DatasetConfig("shards/halls")], "held-out"),
    ],
)
def test_scenes_are_training_scenes_where_folder_and_split_are_trained_on(validation, scenes):
    config = DataConfig(train=TRAIN, validation={str(number): each for number, each in enumerate(validation)})
    assert config.validated_scenes() == scenes


def test_a_link_to_the_training_shards_is_no_held_out_dataset(tmp_path: Path):
    (tmp_path / "rooms").mkdir()
    (tmp_path / "link").symlink_to("rooms")
    train, link = (DatasetConfig(str(tmp_path / name)) for name in ("rooms", "link"))
    assert DataConfig(train={"a": train}, validation={"a": link}).validated_scenes() == "training"


@pytest.mark.parametrize(
    ("stage", "scenes"),
    [("demo", "held-out"), ("static", "held-out"), ("streaming_24", "held-out"), ("state_query", "training")],
)
def test_of_the_stages_state_query_validates_on_training_scenes_as_published(stage, scenes):
    assert compose([f"stage={stage}"]).data.validated_scenes() == scenes
