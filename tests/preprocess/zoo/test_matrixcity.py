"""MatrixCity beyond the suite: what is trained on, which depth is taken, which images are frames."""

import json

import numpy as np
import pytest
from miniatures import spoil
from miniatures.zoo.matrixcity import AREA, BLOCK, NOT_LISTED, TEST, write
from readers import reader_of

from zipmap_pl.errors import UserError


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scenes(raw):
    return {scene.name: scene for scene in reader_of("matrixcity", raw).scenes()}


def test_test_blocks_are_never_trained_on_though_the_published_training_does(raw):
    assert {name: scene.split for name, scene in scenes(raw).items()} == {BLOCK: "train", AREA: "train", TEST: "test"}
    with pytest.raises(UserError, match="no block <small_city"):
        reader_of("matrixcity", raw / "small_city_depth").scenes()


def test_frames_are_those_of_the_filtered_list_by_number(raw):
    """Some images are there that the list leaves out; "10.png" is before "8.png" as a text."""
    assert (raw / BLOCK / f"block_1/{NOT_LISTED:04d}.png").exists()
    assert scenes(raw)[BLOCK].frames == ("0000", "0001", "0002", "0004", "0005", "0006", "0007")
    assert scenes(raw)[AREA].frames == ("0008", "0009", "0010", "0011")


def test_half_floats_are_read_only_where_there_is_nothing_better_and_it_is_told(raw):
    """The folder of AREA's half floats holds no images at all."""
    assert scenes(raw)[AREA].left_out == ()
    (told,) = scenes(raw)[TEST].left_out
    assert "half floats: what is farther than 655 m is unknown" in told.reason
    frame = reader_of("matrixcity", raw).frame(scenes(raw)[TEST], "0001")
    assert frame.depth[4, 5] == 0 and frame.sky is None  # 65504: sky and overflow cannot be told apart


def test_the_focal_length_follows_from_the_width_of_the_image(raw):
    spoil.json_of(lambda values: values.update(camera_angle_x=np.pi / 2))(raw / TEST / "transforms.json")
    reader, scene = reader_of("matrixcity", raw), scenes(raw)[TEST]
    assert np.allclose(reader.camera(scene, "0000").intrinsics, [[500, 0, 500], [0, 500, 500], [0, 0, 1]])
    assert np.allclose(reader.frame(scene, "0000").camera.intrinsics, [[20, 0, 20], [0, 20, 20], [0, 0, 1]])


def test_poses_of_other_files_are_refused(raw):
    """Those in the folder `pose` are in other units, and their rotations are not divided."""
    file = raw / BLOCK / "transforms.json"
    values = json.loads(file.read_text())
    values["frames"] = [{"file_path": "0000.png", "transform_matrix": np.eye(4).tolist()}]
    file.write_text(json.dumps(values))
    assert "frame_index None" in scenes(raw)[BLOCK].left_out[0].reason
