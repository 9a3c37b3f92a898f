"""Spring beyond the suite: where in a pixel its depth is, the right camera, and what is not listed."""

import numpy as np
import pytest
from miniatures.files import to_folder
from miniatures.rooms import Room
from miniatures.zoo.spring import HEIGHT, PLAIN, WIDTH, ZIPPED, sequence, write
from readers import reader_of

ROOM = Room(seed=1)


@pytest.fixture
def stereo(tmp_path):
    """A sequence of two frames seen by both cameras: its raw folder, and the right one's truth."""
    (left, _), (right, truth) = sequence(ROOM, 2), sequence(ROOM, 2, "right")
    to_folder(tmp_path / "train/0007", {**left, **right})
    return tmp_path, truth


def test_depth_is_that_of_the_pixels_center(stereo):
    """Every second disparity is a quarter of a pixel beside it."""
    reader = reader_of("spring", stereo[0])
    (scene,) = reader.scenes()
    frame = reader.frame(scene, "0002")
    pose, intrinsics = ROOM.pose(1), frame.camera.intrinsics
    center = ROOM.see(pose, intrinsics, HEIGHT, WIDTH).depth
    beside = ROOM.see(pose, np.diag((2, 2, 1)) @ intrinsics, 2 * HEIGHT, 2 * WIDTH).depth[::2, ::2]
    errors = [np.median(np.abs(depth - center) / center) for depth in (frame.depth, beside)]
    assert errors[0] < 1e-4 and errors[1] > 1e-3


def test_the_right_camera_is_read_if_asked_for(stereo):
    raw, truth = stereo
    reader = reader_of("spring", raw, "--cameras", "right,left")
    assert [scene.name for scene in reader.scenes()] == ["0007/left", "0007/right"]
    left, right = reader.scenes()
    for name, true in zip(right.frames, truth, strict=True):
        frame = reader.frame(right, name)
        np.testing.assert_allclose(frame.camera.cam_to_world, true.cam_to_world, atol=1e-6)
        np.testing.assert_allclose(frame.depth, true.depth, rtol=1e-3)
        assert np.array_equal(frame.image, true.image)
    shift = np.linalg.inv(reader.camera(left, "0001").cam_to_world) @ reader.camera(right, "0001").cam_to_world
    np.testing.assert_allclose(shift[:3, 3], (0.065, 0, 0), atol=1e-9)
    with pytest.raises(SystemExit):
        reader_of("spring", raw, "--cameras", "middle")


def test_test_sequences_are_not_listed(tmp_path):
    """They have neither poses nor disparities."""
    write(tmp_path)
    assert [scene.name for scene in reader_of("spring", tmp_path).scenes()] == [PLAIN, ZIPPED]
