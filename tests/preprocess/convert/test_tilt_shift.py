"""Tilted and shifted picture planes become pinhole cameras: by construction, and for every scene of Hypersim."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from zipmap_pl.preprocess.convert.tilt_shift import (
    depth_of_distance,
    inverse,
    pinhole_and_turn,
    pinhole_view,
    raw_places,
)

HEIGHT, WIDTH = 60, 80
ANGLES = st.tuples(*[st.floats(-40, 40)] * 3)


def normalised(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def pixel_centres(height, width):
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack((columns, rows, np.ones_like(rows)), -1)


def made(angles, focal, skew, cx, cy, scale=3.7):
    """A projection, its intrinsics and its rotation."""
    intrinsics = np.array(((focal, skew, cx), (0, 1.01 * focal, cy), (0, 0, 1)))
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return scale * intrinsics @ turn, intrinsics, turn


@settings(max_examples=50, deadline=None)
@given(ANGLES, st.floats(30, 200), st.floats(-5, 5), st.floats(-40, 120), st.floats(-40, 120))
def test_intrinsics_and_rotation_are_found_again(angles, focal, skew, cx, cy):
    projection, intrinsics, turn = made(angles, focal, skew, cx, cy)
    found, found_turn = pinhole_and_turn(projection)
    np.testing.assert_allclose(found, intrinsics, atol=1e-9 * focal)
    np.testing.assert_allclose(found_turn, turn, atol=1e-9)
    np.testing.assert_allclose(inverse(projection) @ projection, np.eye(3), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(ANGLES, st.floats(40, 200), st.floats(-5, 5), st.floats(0, 80), st.floats(-40, 100))
def test_a_pixel_that_is_written_looks_where_its_raw_place_looks(angles, focal, skew, cx, cy):
    projection, _, _ = made(angles, focal, skew, cx, cy)
    check_view(projection, HEIGHT, WIDTH)


def check_view(projection, height, width):
    view = pinhole_view(projection, height, width)
    np.testing.assert_allclose(view.turn @ view.turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view.turn) > 0 and view.intrinsics[0, 1] == 0
    if view.resampled:
        columns, rows = raw_places(view)
        assert columns.min() > 0 and columns.max() < width and rows.min() > 0 and rows.max() < height
        room = min(columns.min(), width - columns.max(), rows.min(), height - rows.max())
        assert room < 1.5, "the focal length could be smaller"
        np.testing.assert_allclose(view.intrinsics[:2, 2], (width / 2, height / 2))
    else:
        columns, rows = np.moveaxis(pixel_centres(height, width)[..., :2], -1, 0)
    raw_rays = np.stack((columns, rows, np.ones_like(rows)), -1) @ np.linalg.inv(projection).T
    written_rays = pixel_centres(height, width) @ np.linalg.inv(view.intrinsics).T @ view.turn
    np.testing.assert_allclose(normalised(written_rays), normalised(raw_rays), atol=1e-9)
    through_raw = normalised(pixel_centres(height, width) @ np.linalg.inv(projection).T) @ view.turn.T
    np.testing.assert_allclose(depth_of_distance(view.raw_projection, height, width), through_raw[..., 2], atol=1e-12)
    return view


def test_a_picture_that_is_almost_centred_stays_as_it_is():
    projection, intrinsics, turn = made((1.0, 20.0, -3.0), 70.0, 0.0, 40.7, 29.5)
    view = check_view(projection, HEIGHT, WIDTH)
    assert not view.resampled
    np.testing.assert_allclose(view.intrinsics, intrinsics, atol=1e-10)
    np.testing.assert_allclose(view.turn, turn, atol=1e-12)
    assert pinhole_view(made((0, 0, 0), 70.0, 0.1, 40.7, 29.5)[0], HEIGHT, WIDTH).resampled
    assert pinhole_view(made((0, 0, 0), 70.0, 0.0, 40.9, 29.5)[0], HEIGHT, WIDTH).resampled


@pytest.mark.parametrize(
    "projection",
    [
        np.diag((70.0, 70.0, -1.0)),
        np.zeros((3, 3)),
        np.full((3, 3), np.nan),
        np.diag((70.0, 70.0, np.inf)),
        made((0, 120, 0), 70.0, 0.0, 40.0, 30.0)[0] @ np.diag((1.0, 1.0, -1.0)),
    ],
    ids=["mirrored", "flat", "nan", "inf", "mirrored and turned"],
)
def test_what_is_no_projection(projection):
    with pytest.raises(ValueError, match="projection"):
        pinhole_view(projection, HEIGHT, WIDTH)


# Hypersim's own list of cameras.


@pytest.fixture(scope="module")
def projections(shared_data):
    """Projection of every scene from M_cam_from_uv, which rays were measured to follow: u right, v up, from -1 to 1."""
    file = shared_data / "hypersim_raw/metadata_camera_parameters.csv"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    uv_of_pixels = np.array(((2 / 1024, 0, -1), (0, -2 / 768, 1), (0, 0, 1)))
    with file.open() as stream:
        return {
            row["scene_name"]: np.linalg.inv(
                np.diag((1, -1, -1))
                @ np.array([[float(row[f"M_cam_from_uv_{i}{j}"]) for j in range(3)] for i in range(3)])
                @ uv_of_pixels
            )
            for row in csv.DictReader(stream)
        }


def test_every_camera_of_hypersim_has_a_view(projections):
    scale = np.array(((0.125, 0, 0), (0, 0.125, 0), (0, 0, 1)))  # smaller pictures: the same cameras in less time
    views = [check_view(scale @ projection, 96, 128) for projection in projections.values()]
    assert len(views) == 482
    enlarged = [view.intrinsics[0, 0] / (0.125 * 886.81) for view in views]
    assert np.median(enlarged) < 1.05 and max(enlarged) < 1.4


@pytest.mark.parametrize(
    ("scene", "focal", "centre", "degrees"),
    [
        ("ai_007_005", 864.25, (511.5, 184.7), 12.95),
        ("ai_037_002", 887.54, (572.9, 457.1), 0.53),
        ("ai_026_006", 664.18, (511.5, 971.1), 41.5),
    ],
)
def test_hypersim_cameras_with_known_numbers(projections, scene, focal, centre, degrees):
    """Principal points as counted from the centre of the first pixel."""
    intrinsics, turn = pinhole_and_turn(projections[scene])
    np.testing.assert_allclose(intrinsics[0, 0], focal, atol=0.006)
    np.testing.assert_allclose(intrinsics[:2, 2] - 0.5, centre, atol=0.06)
    np.testing.assert_allclose(np.degrees(Rotation.from_matrix(turn).magnitude()), degrees, atol=0.006)
