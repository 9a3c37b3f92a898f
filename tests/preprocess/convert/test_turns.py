"""Frames turned upright show the same world from the same place."""

import numpy as np
import pytest
from miniatures.rooms import Room, pinhole

from zipmap_pl.preprocess.convert.turns import quarter_turned, quarter_turned_camera
from zipmap_pl.preprocess.raw import RawCamera, RawFrame

HEIGHT, WIDTH = 30, 44
INTRINSICS = np.array(((31.0, 0, 19.3), (0, 29.0, 16.1), (0, 0, 1)))
ROOM = Room(open_sky=True, seed=3)
POSE = ROOM.pose(2)


def frame_of_room():
    view = ROOM.see(POSE, INTRINSICS, HEIGHT, WIDTH)
    moving = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    depth = view.depth.astype(np.float32)
    return RawFrame(RawCamera(INTRINSICS, POSE), view.image, b"kept", depth, view.sky, moving, ~moving)


@pytest.mark.parametrize("turns", [-1, 1, 2, 3, -2, 5])
def test_a_turned_frame_is_what_the_turned_camera_sees(turns):
    frame = frame_of_room()
    turned = quarter_turned(frame, turns)
    seen = ROOM.see(turned.camera.cam_to_world, turned.camera.intrinsics, *turned.image.shape[:2])
    np.testing.assert_allclose(turned.depth, seen.depth, rtol=1e-6)
    np.testing.assert_array_equal(turned.sky, seen.sky)
    assert np.abs(turned.image.astype(int) - seen.image).max() <= 1
    np.testing.assert_array_equal(turned.dynamic, np.rot90(frame.dynamic, turns))
    np.testing.assert_array_equal(turned.object, ~turned.dynamic)
    np.testing.assert_array_equal(turned.camera.cam_to_world[:, 3], POSE[:, 3])
    assert np.linalg.det(turned.camera.cam_to_world) == pytest.approx(1)
    assert turned.jpeg is None


def test_clockwise_by_hand():
    """The sheets' numbers: new(u, v) = old(v, H - u), c2w * [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]."""
    camera = quarter_turned_camera(RawCamera(INTRINSICS, np.eye(4)), (HEIGHT, WIDTH), -1)
    np.testing.assert_array_equal(camera.intrinsics, ((29, 0, HEIGHT - 16.1), (0, 31, 19.3), (0, 0, 1)))
    np.testing.assert_array_equal(camera.cam_to_world[:3, :3], ((0, 1, 0), (-1, 0, 0), (0, 0, 1)))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turn_and_its_way_back_change_nothing(turns):
    frame = frame_of_room()
    back = quarter_turned(quarter_turned(frame, turns), -turns)
    np.testing.assert_array_equal(back.image, frame.image)
    np.testing.assert_array_equal(back.camera.cam_to_world, POSE)
    np.testing.assert_allclose(back.camera.intrinsics, INTRINSICS, rtol=1e-15)


def test_four_quarter_turns_keep_the_frame_itself():
    frame = frame_of_room()
    assert quarter_turned(frame, 4) is frame and quarter_turned(frame, 0) is frame


def test_a_bent_lens_is_not_turned():
    bent = RawCamera(pinhole(30, 22, 15), POSE, "a.txt", (0.1, 0, 0, 0))
    with pytest.raises(ValueError, match=r"a\.txt: a camera with lens distortion"):
        quarter_turned_camera(bent, (HEIGHT, WIDTH), 1)
