"""MVS-Synth beyond the suite: a mirrored world, three sizes of the same clips."""

import json

import numpy as np
import pytest
from miniatures import spoil
from miniatures.zoo.mvs_synth import LONG, MIRROR, TOP, write
from readers import reader_of

from zipmap_pl.errors import UserError


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def stored_pose(raw, frame):
    return np.array(json.loads((raw / TOP / LONG / f"poses/{frame}.json").read_text())["extrinsic"])


def read_pose(raw, frame):
    reader = reader_of("mvs_synth", raw)
    return np.linalg.inv(reader.camera(reader.scenes()[0], frame).cam_to_world)


def test_the_mirrored_world_becomes_a_right_handed_one_and_motion_stays(raw):
    stored, read = ([pose(raw, frame) for frame in ("0000", "0009")] for pose in (stored_pose, read_pose))
    assert [round(np.linalg.det(pose[:3, :3])) for pose in stored + read] == [-1, -1, 1, 1]
    np.testing.assert_allclose(read[1] @ np.linalg.inv(read[0]), stored[1] @ np.linalg.inv(stored[0]), atol=1e-12)


def test_a_pose_that_is_not_mirrored_is_left_as_it_is(raw):
    proper = stored_pose(raw, "0003") @ MIRROR
    file = raw / TOP / LONG / "poses/0003.json"
    spoil.json_of(lambda values: values.update(extrinsic=proper.tolist()))(file)
    np.testing.assert_allclose(read_pose(raw, "0003"), proper, atol=1e-12)


def test_clips_in_two_sizes_are_refused(raw):
    (raw / "GTAV_1080" / LONG).mkdir(parents=True)
    with pytest.raises(UserError, match="holds GTAV_1080 and GTAV_720; give the folder of one size"):
        reader_of("mvs_synth", raw).scenes()
