"""The reader of generated scenes keeps the contract of raw readers and gives train and held-out scenes of their own."""

import json
import pickle

import numpy as np
import pytest
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.zoo.synthetic.reader import (
    SyntheticReader,
    heldout_seed,
)
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions, generate_scene


def parsed(*arguments):
    return reader_of("synthetic", *arguments)


def test_defaults_are_the_demonstrations_scenes():
    reader = parsed()
    assert reader.scene_options == SceneOptions(views=8, width=56, height=56, style="box", trajectory="straight")
    scenes = reader.scenes()
    assert [scene.split for scene in scenes] == ["train"] * 100 + ["heldout"] * 10
    assert len({scene.name for scene in scenes}) == len(scenes)
    assert all(len(scene.frames) == 8 for scene in scenes)


def test_options_reach_the_scenes():
    sizes = ("--scenes", "2", "--heldout", "1", "--views", "3", "--size", "40x30", "--seed", "5")
    reader = parsed(*sizes, "--style", "free", "--trajectory", "orbit", "--moving-objects", "1", "--open-sky")
    frame = reader.frame(reader.scenes()[1], "000002")
    expected = generate_scene(SceneOptions(3, 40, 30, "free", "orbit", 1, True), 5, 1).frame(2)
    assert frame.image.shape == (30, 40, 3)
    assert np.array_equal(frame.image, expected.image) and np.array_equal(frame.depth, expected.depth)
    assert np.array_equal(frame.sky, expected.sky) and np.array_equal(frame.dynamic, expected.dynamic)
    assert reader.info.kind == "dynamic"


def test_frame_is_what_the_contract_says():
    reader = SyntheticReader(train_scenes=1, heldout_scenes=0)
    scene = reader.scenes()[0]
    frame, camera = reader.frame(scene, scene.frames[3]), reader.camera(scene, scene.frames[3])
    assert frame.image.dtype == np.uint8 and frame.depth.dtype == np.float32 and frame.sky.dtype == bool
    assert frame.image.flags.c_contiguous and frame.depth.flags.c_contiguous
    assert frame.dynamic is None and frame.jpeg is None and reader.info.kind == "static"
    assert np.array_equal(camera.intrinsics, frame.camera.intrinsics) and camera.intrinsics.dtype == np.float64
    assert np.array_equal(camera.cam_to_world, frame.camera.cam_to_world) and camera.cam_to_world.shape == (4, 4)


def test_number_and_order_of_scenes_change_no_scene():
    few, many = SyntheticReader(train_scenes=2, heldout_scenes=1), SyntheticReader(train_scenes=50, heldout_scenes=9)
    backwards = {scene.name: many.frame(scene, "000001").image for scene in reversed(many.scenes())}
    for scene in few.scenes():
        assert np.array_equal(few.frame(scene, "000001").image, backwards[scene.name])


def test_heldout_scenes_are_other_scenes():
    reader = SyntheticReader(train_scenes=20, heldout_scenes=20)
    images = [reader.frame(scene, "000000").image.tobytes() for scene in reader.scenes()]
    assert len(set(images)) == 40
    assert heldout_seed(0) == heldout_seed(0) != heldout_seed(1)
    assert heldout_seed(0) > 2**32, "not a seed that somebody types for another training set"


def test_settings_name_everything_that_changes_the_bytes():
    names = set(json.loads(json.dumps(parsed().settings())))
    assert {"scenes", "heldout", "seed", "views", "width", "height", "style", "trajectory", "moving_objects"} <= names
    assert {"open_sky", "generator_version"} <= names
    assert parsed("--seed", "1").settings() != parsed().settings()


def test_reader_travels_to_a_worker():
    reader = parsed("--scenes", "1", "--heldout", "0")
    reader.frame(reader.scenes()[0], "000000")
    data = pickle.dumps(reader)
    assert len(data) < 2000, "no scene travels with it"
    assert np.array_equal(
        pickle.loads(data).frame(reader.scenes()[0], "000001").image, reader.frame(reader.scenes()[0], "000001").image
    )


def test_nothing_to_generate_is_an_error():
    with pytest.raises(UserError, match="--scenes"):
        parsed("--scenes", "0", "--heldout", "0").scenes()


@pytest.mark.parametrize(
    "wrong", [("--size", "56"), ("--size", "0.5x3"), ("--scenes", "-1"), ("--seed", "x"), ("--style", "b")]
)
def test_misspelt_options_are_refused_by_name(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*wrong)
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err
