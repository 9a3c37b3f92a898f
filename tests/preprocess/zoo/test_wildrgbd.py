"""WildRGB-D beyond the suite: which frames of a scene are read, and which scenes are for training."""

import json

import numpy as np
import pytest
from miniatures.zoo.wildrgbd import BAD, LONG, ONE_LIST, OTHER, write
from readers import reader_of

from zipmap_pl.errors import UserError


def reader(raw, *options):
    return reader_of("wildrgbd", raw, *options)


def test_a_hundred_frames_are_read_as_in_the_published_training(tmp_path):
    for number in range(251):
        (tmp_path / "box/scenes/scene_1/rgb").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"box/scenes/scene_1/rgb/{number:05d}.png").touch()
    for name in ("nvs_list.json", "camera_eval_list.json"):
        (tmp_path / "box" / name).write_text(json.dumps({"train": ["scenes/scene_1"], "val": []}))
    (scene,) = reader(tmp_path).scenes()
    assert [int(frame) for frame in scene.frames] == [int(k) for k in np.round(np.linspace(0, 250, 100))]
    (scene,) = reader(tmp_path, "--frames", "1000").scenes()
    assert len(scene.frames) == 251
    with pytest.raises(UserError, match="--frames 0: expected 1 or more"):
        reader(tmp_path, "--frames", "0")


def test_scenes_that_one_list_does_not_train_on_are_tests(tmp_path):
    write(tmp_path)
    splits = {scene.name: scene.split for scene in reader(tmp_path).scenes() if scene.name.startswith("box")}
    assert splits == {LONG: "train", OTHER: "train", ONE_LIST: "test"}
    assert BAD in {scene.name for scene in reader(tmp_path, "--exclude", "").scenes()}
