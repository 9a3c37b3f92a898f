"""A cloud in perspective: upright whatever the world's axes are, near before far, all in the picture, never an exception."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from zipmap_pl.drawing.cameras_from_above import PATH_COLOURS
from zipmap_pl.drawing.cloud import draw_cloud
from zipmap_pl.drawing.text import BACKGROUND

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (90, 90, 90)
SIZE = {"width": 300, "height": 200}


def plate(x: float, y: float, z: float, half: float, count: int = 60) -> np.ndarray:
    """Points [count * count, 3] of a square across z, in OpenCV axes (y down)."""
    across, down = np.meshgrid(np.linspace(-half, half, count), np.linspace(-half, half, count))
    return np.stack([x + across, y + down, np.full_like(across, z)], -1).reshape(-1, 3)


def coloured(*plates: tuple[np.ndarray, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([points for points, _ in plates])
    return points, np.concatenate([np.tile(np.uint8([colour]), (len(points), 1)) for points, colour in plates])


def middle(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of the pixels of a colour."""
    found = np.argwhere((picture == colour).all(-1))
    assert len(found) > 20
    return found.mean(axis=0)


CAMERA = np.eye(4)[None]


def test_up_is_up_and_right_is_right() -> None:
    points, colours = coloured((plate(-2, -1, 4, 0.5), RED), (plate(2, 1, 4, 0.5), GREEN))
    picture = draw_cloud(points, colours, CAMERA, **SIZE)
    up_left, down_right = middle(picture, RED), middle(picture, GREEN)
    assert (up_left + 30 < down_right).all()


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_is_seen(order: int) -> None:
    """Without looking at depths the last plate would cover the other in one of the orders."""
    plates = [(plate(0, 0, 6, 3), GREY), (plate(0, 0, 3, 0.7), RED)][::order]
    picture = draw_cloud(*coloured(*plates), CAMERA, **SIZE)
    row, column = middle(picture, RED).round().astype(int)
    assert (picture[row - 8 : row + 8, column - 8 : column + 8] == RED).all(-1).mean() > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_the_worlds_axes_and_unit_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, colours = coloured((plate(0, 0, 6, 3), GREY), (plate(1, 0.5, 3, 0.7), RED))
    turn, unit, shift = Rotation.random(rng=rng).as_matrix(), 10 ** rng.uniform(-3, 3), rng.normal(size=3) * 50
    moved = CAMERA.copy()
    moved[:, :3, :3] = turn
    moved[:, :3, 3] = shift
    pictures = (
        draw_cloud(points, colours, CAMERA, **SIZE),
        draw_cloud(unit * points @ turn.T + shift, colours, moved, **SIZE),
    )
    assert (pictures[0] != pictures[1]).any(-1).mean() < 0.05  # squares that round to the neighbouring pixel


def test_nearly_all_points_are_in_the_picture_and_it_is_filled() -> None:
    points, colours = coloured((plate(0, 0, 5, 2), RED))
    drawn = (draw_cloud(points, colours, CAMERA, **SIZE) != BACKGROUND).any(-1)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    assert np.ptp(rows) > 150
    assert columns[0] > 5 and columns[-1] < 295


def test_a_stray_point_does_not_shrink_the_scene() -> None:
    points, colours = coloured((plate(0, 0, 5, 2), RED))
    alone = draw_cloud(points, colours, CAMERA, **SIZE)
    points[0] = [1e6, 0, 1e6]
    assert (alone != draw_cloud(points, colours, CAMERA, **SIZE)).any(-1).mean() < 0.05


def test_cameras_stand_before_the_points() -> None:
    points, colours = coloured((plate(0, 0, 5, 2), GREY))
    picture = draw_cloud(points, colours, CAMERA, **SIZE)
    assert (np.abs(picture.astype(int) - PATH_COLOURS[0]).sum(-1) < 60).sum() > 10


def test_what_is_not_finite_is_left_out() -> None:
    points, colours = coloured((plate(0, 0, 5, 2), RED))
    good = draw_cloud(points, colours, CAMERA, **SIZE)
    nowhere, lost = np.full((5, 3), np.nan), np.full((1, 4, 4), np.inf)
    spoilt = np.concatenate([points, nowhere]), np.concatenate([colours, np.zeros((5, 3), np.uint8)])
    assert np.array_equal(good, draw_cloud(*spoilt, np.concatenate([CAMERA, lost]), **SIZE))


@pytest.mark.parametrize(
    ("points", "poses"),
    [
        (np.zeros((0, 3)), CAMERA),
        (np.full((4, 3), np.nan), CAMERA),
        (plate(0, 0, 5, 2), np.zeros((0, 4, 4))),
        (np.zeros((4, 3)), CAMERA),
        (np.full((1, 3), 1e30), CAMERA),
        (plate(0, 0, -50, 0.1), np.concatenate([CAMERA] * 3)),
    ],
)
def test_odd_scenes_give_a_picture(points: np.ndarray, poses: np.ndarray) -> None:
    with np.errstate(all="raise"):
        picture = draw_cloud(points, np.zeros((len(points), 3), np.uint8), poses, **SIZE)
    assert picture.shape == (200, 300, 3)
