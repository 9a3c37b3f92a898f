"""PointOdyssey beyond the suite: which sequences are read, cameras by the frame's number, tracks left alone."""

import numpy as np
import pytest
from miniatures import spoil
from miniatures.zoo.pointodyssey import HALF, IN_PARTS, LONG, OTHER, SHORT, VALIDATION, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.zoo.pointodyssey import TRAINED


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def names(reader):
    return [scene.name for scene in reader.scenes()]


def test_the_sequences_of_the_published_training_are_read_unless_all_are_asked_for(raw):
    assert len(TRAINED) == 33
    assert names(reader_of("pointodyssey", raw)) == [LONG, IN_PARTS, SHORT, VALIDATION]
    assert names(reader_of("pointodyssey", raw, "--all")) == [OTHER, LONG, IN_PARTS, SHORT, VALIDATION]


def test_without_a_sequence_of_the_published_training_all_is_named(tmp_path):
    (tmp_path / OTHER).mkdir(parents=True)
    with pytest.raises(UserError, match="of the published training; see --all"):
        reader_of("pointodyssey", tmp_path).scenes()


def test_cameras_see_the_tracks_where_the_tracks_say(raw):
    """A frame's number is its row, although a script of the authors takes the row before."""
    with np.load(raw / LONG / "anno.npz") as arrays:
        points, pixels = arrays["trajs_3d"], arrays["trajs_2d"]
    reader = reader_of("pointodyssey", raw)
    for frame in (0, 5):
        camera = reader.camera(reader.scenes()[0], f"{frame:05d}")
        world_to_cam = np.linalg.inv(camera.cam_to_world)
        seen = (points[frame] @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]) @ camera.intrinsics.T
        np.testing.assert_allclose(seen[:, :2] / seen[:, 2:] - HALF[:2, 2], pixels[frame], atol=1e-3)


def test_nothing_of_the_tracks_is_read(raw):
    """They take gigabytes; what lies there as objects would have to be unpickled."""
    file = raw / LONG / "anno.npz"
    spoil.npz(lambda arrays: arrays | {"trajs_3d": np.array([{}, {}])})(file)
    reader = reader_of("pointodyssey", raw)
    assert reader.frame(reader.scenes()[0], "00001").depth.any()


def test_saturated_depth_is_sky_and_what_is_just_nearer_is_not(raw):
    stored = np.full((36, 64), 65_534, np.uint16)
    stored[:5] = 65_535
    spoil.put_picture(stored)(raw / LONG / "depths/depth_00001.png")
    reader = reader_of("pointodyssey", raw)
    frame = reader.frame(reader.scenes()[0], "00001")
    np.testing.assert_array_equal(frame.sky, stored == 65_535)
    assert 999.9 < frame.depth[5:].min() < 1000
