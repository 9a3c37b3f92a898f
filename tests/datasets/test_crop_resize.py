import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zipmap_pl.datasets.cameras import pixel_points
from zipmap_pl.datasets.crop_resize import plan_crop, resize_nearest, resize_picture

sizes = st.tuples(st.integers(40, 400), st.integers(40, 400))
targets = st.tuples(st.integers(1, 10).map(lambda n: 14 * n), st.integers(1, 10).map(lambda n: 14 * n))
shares = st.floats(0.3, 0.7)


@given(size=sizes, target=targets, x=shares, y=shares, zoom=st.floats(1, 2))
def test_principal_point_is_the_centre_and_nothing_is_padded(size, target, x, y, zoom):
    intrinsics = np.array([300.0, 310.0, x * size[1], y * size[0]])
    crop = plan_crop(size, intrinsics, target, zoom)
    fx, fy, cx, cy = crop.intrinsics(intrinsics)
    assert abs(cx - target[1] / 2) < 1e-9 and abs(cy - target[0] / 2) < 1e-9
    assert fx / fy == pytest.approx(300 / 310)  # never stretched
    left, top, right, bottom = crop.box
    assert left >= 0 and top >= 0 and right <= size[1] + 1e-9 and bottom <= size[0] + 1e-9
    if zoom == 1:  # the largest such crop touches an edge
        assert min(left, top, size[1] - right, size[0] - bottom) < 1e-9


@given(size=sizes, target=targets, x=shares, y=shares, zoom=st.floats(1, 2))
def test_results_have_the_target_size(size, target, x, y, zoom):
    crop = plan_crop(size, np.array([300.0, 300.0, x * size[1], y * size[0]]), target, zoom)
    assert resize_picture(np.zeros((*size, 3), np.uint8), crop).shape == (*target, 3)
    assert resize_nearest(np.zeros(size, np.float32), crop).shape == target


def test_nothing_to_do_changes_no_bit():
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (56, 56, 3), dtype=np.uint8)
    depth = generator.random((56, 56)).astype(np.float32)
    intrinsics = np.array([40.0, 40.0, 28.0, 28.0])
    crop = plan_crop((56, 56), intrinsics, (56, 56))
    assert np.array_equal(resize_picture(picture, crop), picture)
    assert np.array_equal(resize_nearest(depth, crop), depth)
    assert np.array_equal(crop.intrinsics(intrinsics), intrinsics)


def test_a_plain_cut_copies_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    crop = plan_crop((60, 100), np.array([80.0, 80.0, 50.0, 30.0]), (60, 60))
    assert np.array_equal(resize_picture(picture, crop), picture[:, 20:80])


def plane_depth(size, intrinsics, normal, offset):
    """Planar z of the plane normal . X = offset at every pixel centre."""
    rays = pixel_points(np.ones(size), intrinsics)
    return offset / (rays @ normal)


@pytest.mark.parametrize("odd_factor", [1, 3, 5])
def test_points_of_a_plane_stay_where_they_are(odd_factor):
    # With an odd factor the new pixel's centre is the centre of an old pixel: the points must agree exactly.
    target = (42, 70)
    size = (42 * odd_factor, 70 * odd_factor)
    intrinsics = np.array([90.0 * odd_factor, 80.0 * odd_factor, size[1] / 2, size[0] / 2])
    normal = np.array([0.3, -0.2, 0.9])
    depth = plane_depth(size, intrinsics, normal, 4.0)
    crop = plan_crop(size, intrinsics, target)
    points = pixel_points(resize_nearest(depth, crop), crop.intrinsics(intrinsics))
    assert np.abs(points @ normal - 4.0).max() < 1e-9
    old = pixel_points(depth, intrinsics)[odd_factor // 2 :: odd_factor, odd_factor // 2 :: odd_factor]
    assert np.abs(points - old).max() < 1e-9


@given(x=shares, y=shares, zoom=st.floats(1, 1.5))
def test_depth_is_off_by_half_a_pixel_at_most_and_without_bias(x, y, zoom):
    size, target = (240, 320), (84, 112)
    intrinsics = np.array([250.0, 250.0, x * 320, y * 240])
    ramp = np.tile(np.arange(320) + 0.5, (240, 1))  # each pixel holds the x of its centre
    crop = plan_crop(size, intrinsics, target, zoom)
    wanted = crop.left + (np.arange(112) + 0.5) / crop.scale
    error = resize_nearest(ramp, crop) - wanted
    assert np.abs(error).max() <= 0.5 + 1e-9
    if abs(2 / crop.scale - round(2 / crop.scale)) > 0.1:  # else all pixels share one phase
        assert abs(error.mean()) < 0.2


def test_edges_of_depth_are_not_mixed():
    depth = np.where(np.arange(200) < 97, 1.0, 9.0)[None].repeat(150, axis=0)
    crop = plan_crop((150, 200), np.array([150.0, 150.0, 98.3, 71.2]), (56, 84), 1.13)
    assert set(np.unique(resize_nearest(depth, crop))) == {1.0, 9.0}


@given(x=st.floats(0.4, 0.6), y=st.floats(0.4, 0.6), zoom=st.floats(1, 1.6))
def test_pictures_follow_the_intrinsics(x, y, zoom):
    # Any good resampling reproduces a linear ramp: the value tells which position was looked at, rounded.
    size, target = (240, 250), (84, 112)
    ramp = np.zeros((*size, 3), np.uint8)
    ramp[..., 0] = np.arange(250)
    ramp[..., 1] = np.arange(240)[:, None]
    crop = plan_crop(size, np.array([250.0, 250.0, x * 250, y * 240]), target, zoom)
    picture = resize_picture(ramp, crop)[8:-8, 8:-8].astype(float)
    at_x = crop.left + (np.arange(112) + 0.5)[8:-8] / crop.scale - 0.5
    at_y = crop.top + (np.arange(84) + 0.5)[8:-8] / crop.scale - 0.5
    assert np.abs(picture[..., 0] - at_x).max() < 0.52
    assert np.abs(picture[..., 1] - at_y[:, None]).max() < 0.52


def test_fine_stripes_do_not_alias():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = plan_crop((512, 512), np.array([400.0, 400.0, 256.0, 256.0]), (112, 112))
    assert np.abs(resize_picture(stripes, crop).astype(int) - 127).max() < 12


def test_principal_point_outside_is_refused():
    with pytest.raises(ValueError, match="principal point"):
        plan_crop((100, 100), np.array([100.0, 100.0, 120.0, 50.0]), (56, 56))
