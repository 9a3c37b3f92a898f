"""Pictures and depth maps of different sizes become frames of one size."""

import numpy as np
import pytest
from miniatures.rooms import Room

from zipmap_pl.preprocess.convert.depth_samples import sampled_depth
from zipmap_pl.preprocess.convert.match_sizes import depth_at, registered
from zipmap_pl.preprocess.raw import RawCamera, RawFault

LARGE, SMALL = (480, 640), (192, 256)
INTRINSICS = np.array(((530.0, 0, 322.3), (0, 531.0, 237.6), (0, 0, 1)))


def depth_of(room, place, height, width):
    """float32 depth of the room at any size, for intrinsics of 640x480."""
    shares = np.array(((width / 640,), (height / 480,), (1.0,)))
    return room.see(room.pose(place), INTRINSICS * shares, height, width).depth.astype(np.float32)


def errors(found, true):
    return np.abs(found / true - 1)


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_depth_enlarged_to_its_picture_is_exact_to_a_thousandth(seed, place):
    room = Room(seed=seed)
    true = depth_of(room, place, *LARGE)
    raw = depth_of(room, place, *SMALL)
    found = errors(depth_at(raw, *LARGE), true)
    assert np.percentile(found, 99) < 0.001 and found.max() < 0.01
    rows, columns = ((2 * np.arange(n) + 1) * small // (2 * n) for n, small in zip(LARGE, SMALL, strict=True))
    nearest = errors(raw[rows][:, columns], true)
    assert np.percentile(found, 99) < 0.2 * np.percentile(nearest, 99)


def test_the_border_is_as_exact_as_the_rest():
    true = depth_of(Room(), 3, *LARGE)
    found = errors(depth_at(depth_of(Room(), 3, *SMALL), *LARGE), true)
    border = np.concatenate((found[0], found[-1], found[:, 0], found[:, -1]))
    assert np.percentile(border, 95) < 0.001


def test_foreground_and_background_never_mix():
    rng = np.random.default_rng(0)
    raw = rng.choice(np.array((0.0, 1.0, 2.0, 5.0), np.float32), SMALL)
    enlarged = depth_at(raw, *LARGE)
    assert set(np.unique(enlarged)) == {0.0, 1.0, 2.0, 5.0}
    rows, columns = ((2 * np.arange(n) + 1) * small // (2 * n) for n, small in zip(LARGE, SMALL, strict=True))
    np.testing.assert_array_equal(enlarged, raw[rows][:, columns])


def test_unknown_samples_stay_unknown_and_spoil_no_neighbor():
    raw = np.full((6, 8), 2.0, np.float32)
    raw[2, 3] = 0
    enlarged = depth_at(raw, 30, 40)
    assert (enlarged[10:15, 15:20] == 0).all()
    assert (enlarged == 2).sum() == 30 * 40 - 25


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0])
def test_what_is_no_depth_is_never_interpolated(bad):
    raw = np.full((4, 4), 2.0, np.float32)
    raw[:2, :2] = bad
    enlarged = depth_at(raw, 20, 20)
    np.testing.assert_array_equal(enlarged, np.repeat(np.repeat(raw, 5, axis=0), 5, axis=1))


@pytest.mark.parametrize("place", [0, 5])
def test_depth_of_twice_the_size_is_halved_at_the_pixels_centers(place):
    true = depth_of(Room(), place, 240, 320)
    finer = depth_of(Room(), place, 480, 640)
    found = errors(depth_at(finer, 240, 320), true)
    assert np.percentile(found, 99) < 1e-4
    assert np.percentile(errors(finer[::2, ::2], true), 99) > 10 * np.percentile(found, 99)


def test_where_the_four_disagree_the_first_is_taken():
    finer = np.array(((1.0, 1.01, 1.0, 9.0), (1.02, 1.005, 1.0, 1.0), (0, 2, 3, 3), (2, 2, np.nan, 3)), np.float32)
    np.testing.assert_allclose(depth_at(finer, 2, 2), ((1.0075, 1.0), (0.0, 3.0)), rtol=1e-6)


def test_depth_that_is_finer_by_another_factor_is_reduced():
    found = errors(depth_at(depth_of(Room(), 2, *LARGE), *SMALL), depth_of(Room(), 2, *SMALL))
    assert np.percentile(found, 99) < 1e-4


def test_depth_of_the_size_stays_bit_for_bit():
    depth = np.zeros((3, 4), np.float32)
    assert depth_at(depth, 3, 4) is depth


def test_a_map_of_one_row_takes_the_nearest_sample():
    np.testing.assert_array_equal(
        depth_at(np.array([[1.0, 1.01]], np.float32), 2, 4)[1], np.float32([1, 1, 1.01, 1.01])
    )


def test_places_outside_the_map_are_unknown():
    depth = np.full((4, 5), 3.0, np.float32)
    columns, rows = np.array([-0.01, 0.0, 4.99, 5.0, np.nan, 2.0, 2.0]), np.array([2.0, 2.0, 2.0, 2.0, 2.0, -1.0, 4.0])
    np.testing.assert_allclose(sampled_depth(depth, columns, rows), [0, 3, 3, 0, 0, 0, 0])


# The frame.


@pytest.mark.parametrize("size", [SMALL, (480, 640), (960, 1280), (240, 320)])
def test_to_the_picture_leaves_picture_bytes_and_camera_as_they_are(size):
    image = np.random.default_rng(0).integers(0, 256, (*LARGE, 3), np.uint8)
    camera = RawCamera(INTRINSICS, np.eye(4))
    frame = registered(camera, image, b"jpeg", np.ones(size, np.float32), "a.png", to="picture")
    assert frame.image is image and frame.jpeg == b"jpeg" and frame.camera is camera
    np.testing.assert_array_equal(frame.depth, np.ones(LARGE))


def test_without_a_word_both_are_brought_to_the_smaller():
    image, camera = np.full((*LARGE, 3), 7, np.uint8), RawCamera(INTRINSICS, np.eye(4))
    depth = np.random.default_rng(0).random(SMALL, np.float32)
    frame = registered(camera, image, b"jpeg", depth, "a.png")
    assert frame.depth is depth and frame.image.shape == (*SMALL, 3) and frame.jpeg is None and frame.camera is camera
    finer = registered(camera, image[::2, ::2], b"jpeg", np.ones(LARGE, np.float32), "a.png")
    assert finer.depth.shape == (240, 320) and finer.jpeg == b"jpeg"
    np.testing.assert_array_equal(finer.camera.intrinsics, INTRINSICS * ((0.5,), (0.5,), (1,)))


@pytest.mark.parametrize("size", [(481, 636), (479, 650), (486, 640)])
def test_a_picture_is_never_enlarged_where_one_side_of_the_depth_is_longer_by_rounding(size):
    image = np.zeros((*LARGE, 3), np.uint8)
    frame = registered(RawCamera(INTRINSICS, np.eye(4)), image, b"jpeg", np.ones(size, np.float32), "a.png")
    assert frame.image is image and frame.jpeg == b"jpeg" and frame.depth.shape == LARGE
    np.testing.assert_allclose(
        frame.camera.intrinsics[:2] * np.array(size[::-1])[:, None], INTRINSICS[:2] * ((640,), (480,))
    )


@pytest.mark.parametrize("to", ["smaller", "picture"])
def test_other_proportions_are_a_fault_of_the_picture(to):
    camera = RawCamera(INTRINSICS, np.eye(4))
    with pytest.raises(RawFault, match=r"a\.png: picture is 640x480, depth is 192x256; expected the same proportions"):
        registered(camera, np.zeros((480, 640, 3), np.uint8), None, np.ones((256, 192)), "a.png", to=to)
