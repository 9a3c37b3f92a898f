import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.geometry import exact_cameras as cameras

numbers = st.floats(-1, 1)
quaternions = st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: sum(x * x for x in q) > 1e-3)
offsets = st.tuples(*[st.floats(-1e4, 1e4)] * 3)


def rigid(quaternion, offset):
    x, y, z, w = np.array(quaternion) / np.linalg.norm(quaternion)
    rotation = np.array(
        (
            (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        )
    )
    return np.column_stack((rotation, offset))


poses = st.builds(rigid, quaternions, offsets)


def square(pose):
    return np.vstack((pose, (0, 0, 0, 1)))


@given(poses, poses)
def test_compose_and_invert_are_matrix_product_and_inverse(left, right):
    np.testing.assert_allclose(cameras.compose(left, right), (square(left) @ square(right))[:3], atol=1e-7)
    np.testing.assert_allclose(cameras.invert_rigid(left), np.linalg.inv(square(left))[:3], atol=1e-7)


@given(poses, poses, st.floats(1e-3, 1e3))
def test_original_pose_comes_back_from_the_normalised_one(pose, world, unit):
    stored = cameras.normalized_world_to_cam(pose, world, unit)
    size = max(1.0, np.abs(pose[:, 3]).max(), np.abs(world[:, 3]).max())
    np.testing.assert_allclose(cameras.raw_cam_to_world(stored, world, unit), pose, rtol=0, atol=1e-12 * size)


@given(poses, st.floats(1e-3, 1e3))
def test_the_world_is_the_first_camera(pose, unit):
    np.testing.assert_allclose(cameras.normalized_world_to_cam(pose, pose, unit), np.eye(4)[:3], atol=1e-12)


@given(poses, st.lists(st.floats(-1e-3, 1e-3), min_size=9, max_size=9))
def test_nearest_rotation_is_that_of_the_singular_value_decomposition(pose, noise):
    almost = pose[:, :3] + np.reshape(noise, (3, 3))
    left, _, right = np.linalg.svd(almost)
    np.testing.assert_allclose(cameras.nearest_rotation(almost), left @ right, atol=1e-12)
    assert cameras.rotation_error(cameras.nearest_rotation(almost)) < 1e-14


def test_a_point_keeps_its_pixel_when_picture_and_intrinsics_are_scaled_and_cropped():
    intrinsics = np.array((300.0, 310.0, 161.0, 119.0))
    point = np.array((0.2, -0.1, 2.0))

    def project(k):
        return point[:2] / point[2] * k[:2] + k[2:]

    np.testing.assert_allclose(
        project(cameras.scale_intrinsics(intrinsics, 0.5, 0.25)), project(intrinsics) * (0.5, 0.25)
    )
    np.testing.assert_allclose(project(cameras.crop_intrinsics(intrinsics, 7, 3)), project(intrinsics) - (7, 3))


def test_pixel_points_project_to_pixel_centres():
    intrinsics = np.array((30.0, 31.0, 4.2, 2.9))
    points = cameras.pixel_points(np.full((6, 8), 3.0), intrinsics)
    pixels = points[..., :2] / points[..., 2:] * intrinsics[:2] + intrinsics[2:]
    np.testing.assert_allclose(pixels[4, 5], (5.5, 4.5))
    np.testing.assert_allclose(points, points.astype(np.float32), rtol=1e-6)


@given(st.integers(0, 35), st.integers(0, 47), st.floats(0.1, 100))
def test_a_pixel_sees_the_point_that_was_made_from_it(row, column, depth):
    intrinsics = np.array((50.0, 51.0, 24.5, 17.5))
    point = cameras.pixel_points(np.full((36, 48), depth), intrinsics)[row, column]
    found = cameras.pixels_of(np.stack((point, -point)), intrinsics, (36, 48))
    assert [part.tolist() for part in found] == [[row, 0], [column, 0], [True, False]]


def test_points_outside_of_the_picture_have_no_pixel_for_many_cameras_at_once():
    points = np.array(((0.0, 0, 1), (5.0, 0, 1), (0, -5.0, 1)))
    intrinsics = np.array(((10.0, 10, 5, 5), (1.0, 1, 5, 5)))
    _, _, inside = cameras.pixels_of(points, intrinsics, np.array(((10, 10), (10, 11))))
    assert inside.tolist() == [[True, False, False], [True, True, True]]
