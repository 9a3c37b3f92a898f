"""Raw axes, worlds and cameras, and what OpenCV's camera makes of them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from zipmap_pl.preprocess.convert.axes import AXES, pytorch3d_camera, right_handed, to_opencv, unreal_pose


def some_pose(seed):
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = rng.normal(size=3)
    return pose


@pytest.mark.parametrize("axes", AXES)
def test_axes_are_rotations_of_each_other(axes):
    np.testing.assert_array_equal(AXES[axes].T @ AXES[axes], np.eye(3))
    assert np.linalg.det(AXES[axes]) == 1


@pytest.mark.parametrize(
    ("axes", "right", "down", "forward"),
    [("sensor", (0, -1, 0), (0, 0, -1), (1, 0, 0)), ("pytorch3d", (-1, 0, 0), (0, -1, 0), (0, 0, 1))],
)
def test_right_down_and_forward_lie_where_the_raw_axes_have_them(axes, right, down, forward):
    pose = some_pose(1)
    found = to_opencv(pose, axes)
    for column, raw in enumerate((right, down, forward)):
        np.testing.assert_allclose(found[:3, column], pose[:3, :3] @ raw, atol=1e-15)
    np.testing.assert_array_equal(found[:, 3], pose[:, 3])


# Left-handed worlds.

SWAPPED = np.eye(4)[[1, 0, 2, 3]]


@pytest.mark.parametrize("rows", [3, 4])
def test_a_left_handed_world_becomes_right_handed_and_images_stay(rows):
    true = np.linalg.inv(some_pose(2))
    found = right_handed((true @ SWAPPED)[:rows])
    np.testing.assert_array_equal(found, true[:rows])


def test_a_right_handed_world_stays_bit_for_bit():
    pose = some_pose(3)
    np.testing.assert_array_equal(right_handed(pose), pose)


def test_the_sheets_example_of_a_left_handed_pose():
    raw = np.array(
        (
            (0.469532, 0.882916, 0, -2.29543),
            (-0.168801, 0.089768, -0.981554, -0.117832),
            (0.866629, -0.460871, -0.191186, 5.537117),
        )
    )
    found = right_handed(raw)
    assert np.linalg.det(raw[:, :3]) < -0.99 and np.linalg.det(found[:, :3]) > 0.99
    point = np.array((0.3, -0.7, 2.0))
    np.testing.assert_allclose(found[:, :3] @ point[[1, 0, 2]], raw[:, :3] @ point)


# PyTorch3D, by its own definition: row vectors, normalized device coordinates with x left and y up.


def pytorch3d_pixels(points, rotation, translation, focal, principal_point, size, unit):
    height, width = size
    x, y, z = (points @ rotation + translation).T
    ndc_x, ndc_y = focal[0] * x / z + principal_point[0], focal[1] * y / z + principal_point[1]
    if unit == "ndc_isotropic":  # -1 to 1 over the shorter side
        half = min(height, width) / 2
        return np.stack((width / 2 - ndc_x * half, height / 2 - ndc_y * half), axis=-1)
    return np.stack(((1 - ndc_x) * width / 2, (1 - ndc_y) * height / 2), axis=-1)


@pytest.mark.parametrize("unit", ["ndc_isotropic", "ndc_norm_image_bounds"])
@pytest.mark.parametrize("size", [(60, 90), (90, 60)])
def test_a_pytorch3d_camera_projects_as_pytorch3d_defines(unit, size):
    rng = np.random.default_rng(4)
    rotation, translation = some_pose(5)[:3, :3], np.array((0.2, -0.3, 4.0))
    focal, principal_point = np.array((1.7, 2.1)), np.array((0.05, -0.08))
    points = rng.normal(size=(50, 3))
    intrinsics, cam_to_world = pytorch3d_camera(rotation, translation, focal, principal_point, size, unit)
    assert np.linalg.det(cam_to_world[:3, :3]) == pytest.approx(1)
    seen = np.linalg.inv(cam_to_world)[:3] @ np.vstack((points.T, np.ones(50)))
    pixels = (intrinsics @ seen)[:2] / seen[2]
    expected = pytorch3d_pixels(points, rotation, translation, focal, principal_point, size, unit)
    np.testing.assert_allclose(pixels.T, expected, atol=1e-11)


def test_a_pytorch3d_camera_by_hand():
    intrinsics, cam_to_world = pytorch3d_camera(
        np.eye(3), np.array((0, 0, 2.0)), np.ones(2) * 2, np.array((0.1, 0)), (60, 90), "ndc_isotropic"
    )
    np.testing.assert_allclose(intrinsics, ((60, 0, 42), (0, 60, 30), (0, 0, 1)))
    np.testing.assert_array_equal(cam_to_world, ((-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1, -2), (0, 0, 0, 1)))


def test_a_format_that_pytorch3d_lacks_is_refused():
    with pytest.raises(ValueError, match="'pixels', expected 'ndc_isotropic' or"):
        pytorch3d_camera(np.eye(3), np.zeros(3), np.ones(2), np.zeros(2), (60, 90), "pixels")


# Unreal.


def test_unreals_documented_example():
    found = unreal_pose((5.058579, -9.743741, 168.953232), 1.468127, -2.905068, 2.813995)
    rotation = ((0.998403, -0.050375, 0.025588), (0.049031, 0.997511, 0.050681), (-0.028077, -0.049346, 0.998387))
    np.testing.assert_allclose(found[:3, :3], rotation, atol=1e-6)
    np.testing.assert_allclose(found[:3, 3], (-0.097437, -1.689532, 0.050586), atol=1e-6)


@pytest.mark.parametrize(
    ("angles", "forward", "right"),
    [  # in Unreal's world: x forward, y right, z up
        ((0, 0, 0), (1, 0, 0), (0, 1, 0)),
        ((90, 0, 0), (0, 1, 0), (-1, 0, 0)),
        ((0, 90, 0), (0, 0, 1), (0, 1, 0)),
        ((0, 0, 90), (1, 0, 0), (0, 0, -1)),  # clockwise: its right side goes down
        ((90, 30, 0), (0, np.sqrt(0.75), 0.5), (-1, 0, 0)),  # yaw first, then pitch
    ],
)
def test_yaw_turns_right_pitch_tilts_up_roll_turns_clockwise(angles, forward, right):
    new_world = np.array(((0, 1, 0), (0, 0, -1), (1, 0, 0)))
    found = unreal_pose((0, 0, 0), *angles)
    np.testing.assert_allclose(found[:3, 2], new_world @ forward, atol=1e-15)
    np.testing.assert_allclose(found[:3, 0], new_world @ right, atol=1e-15)


def test_unreal_is_scipys_rotation_by_intrinsic_angles():
    angles = np.random.default_rng(6).uniform(-180, 180, (20, 3))
    for yaw, pitch, roll in angles:
        expected = Rotation.from_euler("YXZ", (yaw, pitch, roll), degrees=True).as_matrix()
        np.testing.assert_allclose(unreal_pose((0, 0, 0), yaw, pitch, roll)[:3, :3], expected, atol=1e-14)


def test_an_angle_that_is_not_finite_stays_so():
    assert np.isnan(unreal_pose((0, 0, 0), np.nan, 0, 0)).any()
