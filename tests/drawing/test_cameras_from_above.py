"""Cameras from above: to scale, all inside the picture, upright whatever the world's axes are, never an exception."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from zipmap_pl.drawing.cameras_from_above import PATH_COLOURS, CameraPath, cameras_from_above

RED, GREEN = (255, 0, 0), (0, 255, 0)


def level_cameras(centres):
    """Cameras at centres [N, 3] of a world with OpenCV axes (y down), all looking along +z."""
    poses = np.tile(np.eye(4), (len(centres), 1, 1))
    poses[:, :3, 3] = centres
    return poses


def places(picture, colour):
    """(row, column) of pixels of about this colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).sum(-1) < 60)


def test_forward_is_up_and_right_is_right():
    picture = cameras_from_above([CameraPath(level_cameras([[0, 0, 0], [0, 0, 4]]), "", RED)])
    straight = places(picture, RED)
    assert np.ptp(straight[:, 0]) > 150 and np.ptp(straight[:, 1]) < 20
    two = [CameraPath(level_cameras([[0, 0, 0]]), "", RED), CameraPath(level_cameras([[3, 0, 0]]), "", GREEN)]
    picture = cameras_from_above(two)
    assert places(picture, RED)[:, 1].mean() + 100 < places(picture, GREEN)[:, 1].mean()


def test_both_axes_have_one_scale():
    square = level_cameras([[0, 0, 0], [2, 0, 0], [2, 0, 2], [0, 0, 2], [0, 0, 0]])
    found = places(cameras_from_above([CameraPath(square, "", RED)], width=600, height=300), RED)
    assert abs(np.ptp(found[:, 0]) - np.ptp(found[:, 1])) <= 8  # the ring of the first camera


@pytest.mark.parametrize("seed", range(4))
def test_the_worlds_axes_and_unit_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    poses = level_cameras(rng.normal(size=(12, 3)) * [2, 0.1, 2])
    moved = poses.copy()
    moved[:, :3, 3] *= 1000
    turn = Rotation.random(rng=rng).as_matrix()
    moved[:, :3] = turn @ moved[:, :3]
    moved[:, :3, 3] += [5000, -70, 33]
    first, second = (cameras_from_above([CameraPath(p, "truth", RED)])[30:320] for p in (poses, moved))
    assert (np.abs(first.astype(int) - second).sum(-1) > 90).mean() < 0.003  # rounding of anti-aliased lines


def test_all_cameras_are_inside_the_picture():
    rng = np.random.default_rng(0)
    for width, height in ((200, 200), (500, 160), (160, 400)):
        centres = rng.normal(size=(30, 3)) * 10 ** rng.uniform(-4, 4)
        points = np.concatenate([centres * 50, rng.normal(size=(100, 3))])
        picture = cameras_from_above([CameraPath(level_cameras(centres), "", RED)], points, None, width, height)
        found = places(picture, RED)
        assert picture.shape == (height, width, 3)
        assert found.min() > 2 and (found.max(axis=0) < [height - 3, width - 3]).all()


def test_two_paths_have_two_colours():
    poses = level_cameras([[0, 0, 0], [1, 0, 1]])
    other = level_cameras([[0, 0, 0], [1, 0, 0.5]])
    picture = cameras_from_above([CameraPath(poses, "truth"), CameraPath(other, "prediction")])
    assert len(places(picture, PATH_COLOURS[0])) > 20 and len(places(picture, PATH_COLOURS[1])) > 20


def test_cameras_that_are_not_finite_are_left_out():
    poses = level_cameras([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    broken = poses.copy()
    broken[1, 0, 3] = np.nan
    expected = cameras_from_above([CameraPath(poses[[0, 2]])])
    assert np.array_equal(cameras_from_above([CameraPath(broken)]), expected)


@pytest.mark.parametrize(
    "poses",
    [
        np.zeros((0, 4, 4)),
        np.full((3, 4, 4), np.nan),
        np.full((2, 4, 4), np.inf),
        np.zeros((2, 4, 4)),
        level_cameras([[0, 0, 0]]),
        level_cameras([[1e9, 1e9, 1e9]] * 3),
        level_cameras([[1e-12, 0, 0], [0, 0, 0]]),
        level_cameras([[0, 0, 0], [1e12, 0, 0]])[:, :3],
        np.eye(4)[None] @ np.diag([1.0, -1, -1, 1]),
        np.stack([np.eye(4), np.diag([1.0, -1, -1, 1]), np.diag([-1.0, -1, 1, 1])]),  # no common up
    ],
)
def test_any_cameras_give_a_picture(poses):
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [np.inf, 1, 1], [1e30, 0, 0]])
    for some in (None, points[:0], points, points[1:3]):
        picture = cameras_from_above([CameraPath(poses, "truth"), CameraPath(poses[:0])], some, unit="m")
        assert picture.shape == (360, 360, 3) and picture.dtype == np.uint8
    assert cameras_from_above([]).shape == (360, 360, 3)


def test_points_are_drawn_in_their_colours_behind_the_cameras():
    poses = level_cameras([[0, 0, 0], [0, 0, 2]])
    points = np.stack(np.meshgrid(np.linspace(-1, 1, 40), [0.0], np.linspace(0, 2, 40)), -1).reshape(-1, 3)
    colours = np.tile(np.array([0, 0, 255], np.uint8), (len(points), 1))
    picture = cameras_from_above([CameraPath(poses, "", RED)], points, colours)
    blue = (picture[..., 2].astype(int) - picture[..., 0]) > 60
    assert blue.sum() > 1000
    assert len(places(picture, RED)) > 30


@pytest.mark.parametrize("text_height", [10, 20, 40])
def test_large_letters_come_with_strong_lines_and_all_cameras_stay_inside(text_height):
    path = CameraPath(level_cameras([[0, 0, 0], [1, 0, 3], [-1, 0, 4]]), "truth", RED)
    found = places(cameras_from_above([path], None, None, 400, 400, "m", text_height), RED)
    assert len(found) > 20 * text_height
    assert found.min() > 2 and found.max() < 397
