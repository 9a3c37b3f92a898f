import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zipmap_pl.geometry.exact_cameras import pixel_points
from zipmap_pl.images.crop import plan_crop
from zipmap_pl.images.decode import read_image
from zipmap_pl.images.resample import resize_image, resize_nearest, resize_sparse

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
    assert resize_image(np.zeros((*size, 3), np.uint8), crop).shape == (*target, 3)
    assert resize_nearest(np.zeros(size, np.float32), crop).shape == target


def test_nothing_to_do_changes_no_bit():
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (56, 56, 3), dtype=np.uint8)
    depth = generator.random((56, 56)).astype(np.float32)
    intrinsics = np.array([40.0, 40.0, 28.0, 28.0])
    crop = plan_crop((56, 56), intrinsics, (56, 56))
    assert np.array_equal(resize_image(picture, crop), picture)
    assert np.array_equal(resize_nearest(depth, crop), depth)
    assert np.array_equal(crop.intrinsics(intrinsics), intrinsics)


def test_a_plain_cut_copies_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    crop = plan_crop((60, 100), np.array([80.0, 80.0, 50.0, 30.0]), (60, 60))
    assert np.array_equal(resize_image(picture, crop), picture[:, 20:80])


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
    picture = resize_image(ramp, crop)[8:-8, 8:-8].astype(float)
    at_x = crop.left + (np.arange(112) + 0.5)[8:-8] / crop.scale - 0.5
    at_y = crop.top + (np.arange(84) + 0.5)[8:-8] / crop.scale - 0.5
    assert np.abs(picture[..., 0] - at_x).max() < 0.52
    assert np.abs(picture[..., 1] - at_y[:, None]).max() < 0.52


def test_fine_stripes_do_not_alias():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = plan_crop((512, 512), np.array([400.0, 400.0, 256.0, 256.0]), (112, 112))
    assert np.abs(resize_image(stripes, crop).astype(int) - 127).max() < 12


def test_principal_point_outside_is_refused():
    with pytest.raises(ValueError, match="principal point"):
        plan_crop((100, 100), np.array([100.0, 100.0, 120.0, 50.0]), (56, 56))


centres = st.floats(0.08, 0.92)


@given(
    size=st.tuples(st.integers(40, 4000), st.integers(40, 4000)),
    target=targets,
    x=centres,
    y=centres,
    fx=st.floats(20, 5000),
    stretch=st.floats(0.8, 1.25),
    zoom=st.floats(1, 2),
    point=st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(1e-3, 1e3)),
)
def test_a_projected_point_stays_on_its_pixel(size, target, x, y, fx, stretch, zoom, point):
    intrinsics = np.array([fx, fx * stretch, x * size[1], y * size[0]])
    crop = plan_crop(size, intrinsics, target, zoom)

    def project(numbers):
        return numbers[:2] * (point[0], point[1]) + numbers[2:]  # a point at depth z is (x z, y z, z): z goes away

    there = (project(intrinsics) - (crop.left, crop.top)) * crop.scale
    np.testing.assert_allclose(project(crop.intrinsics(intrinsics)), there, rtol=1e-12, atol=1e-9)
    left, top, right, bottom = crop.box
    corners = crop.intrinsics(intrinsics)[2:] * 2
    np.testing.assert_allclose(corners, (target[1], target[0]), atol=1e-6)
    assert left >= 0 and top >= 0 and right <= size[1] * (1 + 1e-12) and bottom <= size[0] * (1 + 1e-12)


@given(size=sizes, target=targets, x=shares, y=shares, zoom=st.floats(1, 2))
def test_a_picture_decoded_smaller_is_cropped_alike_and_never_enlarged(size, target, x, y, zoom):
    intrinsics = np.array([300.0, 310.0, x * size[1], y * size[0]])
    crop = plan_crop(size, intrinsics, target, zoom)
    times = crop.reduction
    reduced = crop.of_reduced(times)
    assert times == 1 or reduced.scale <= 1
    assert times == 8 or crop.scale * times * 2 > 1  # as small as can be
    np.testing.assert_allclose(np.array(reduced.box) * times, crop.box)
    np.testing.assert_allclose(reduced.intrinsics(intrinsics / times), crop.intrinsics(intrinsics))


@pytest.mark.parametrize("size", [(480, 640), (477, 635)])
def test_reducing_while_decoding_changes_only_the_sharpness(size):
    picture = np.zeros((*size, 3), np.uint8)
    picture[..., 0] = np.linspace(20, 230, size[1])
    picture[..., 1] = np.linspace(230, 20, size[0])[:, None]
    data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 98))[1].tobytes()
    crop = plan_crop(size, np.array([500.0, 500.0, size[1] * 0.47, size[0] * 0.55]), (84, 112), 1.1)
    assert crop.reduction == 4
    whole = resize_image(read_image(data), crop).astype(int)
    reduced = resize_image(read_image(data, 4), crop.of_reduced(4)).astype(int)
    assert np.abs(whole - reduced)[..., :2].max() <= 3
    assert np.abs((whole - reduced)[..., :2].mean(axis=(0, 1))).max() < 0.3  # a shift by half a pixel would be 0.7


@given(size=sizes, target=targets, x=shares, y=shares, zoom=st.floats(1, 2), seed=st.integers(0, 99))
def test_rows_outside_of_the_crop_do_not_matter(size, target, x, y, zoom, seed):
    # Not so wild that Pillow clips between its two passes, whose order depends on the size of what it is given.
    picture = np.random.default_rng(seed).integers(96, 160, (*size, 3), np.uint8)
    crop = plan_crop(size, np.array([300.0, 300.0, x * size[1], y * size[0]]), target, zoom)
    box = (crop.box[0], crop.box[1], min(crop.box[2], size[1]), min(crop.box[3], size[0]))
    whole = Image.fromarray(picture).resize(target[::-1], Image.Resampling.BICUBIC, box=box)
    assert np.abs(np.asarray(whole).astype(int) - resize_image(picture, crop)).max() <= 2


@given(
    size=sizes,
    target=targets,
    x=shares,
    y=shares,
    zoom=st.floats(1, 2),
    share=st.sampled_from([0.005, 0.05, 0.25]),
    seed=st.integers(0, 99),
)
def test_no_point_of_sparse_depth_is_lost(size, target, x, y, zoom, share, seed):
    generator = np.random.default_rng(seed)
    depth = np.where(generator.random(size) < share, generator.integers(1, 60000, size), 0).astype(np.uint16)
    crop = plan_crop(size, np.array([300.0, 300.0, x * size[1], y * size[0]]), target, zoom)
    resized, nearest = resize_sparse(depth, crop), resize_nearest(depth, crop)
    assert np.array_equal(resized[nearest > 0], nearest[nearest > 0])
    rows, columns = np.nonzero(depth)
    across, down = (columns + 0.5 - crop.left) * crop.scale, (rows + 0.5 - crop.top) * crop.scale
    inside = (across >= 0) & (across < target[1]) & (down >= 0) & (down < target[0])
    down, across, points = down[inside].astype(int), across[inside].astype(int), depth[rows, columns][inside]
    if crop.scale < 1:
        assert (resized[down, across] > 0).all()
        filled = nearest[down, across] == 0
        assert (resized[down, across][filled] <= points[filled]).all()  # of several the nearest
        wanted = {*zip(down[filled].tolist(), across[filled].tolist(), strict=True)}
        assert set(map(tuple, np.argwhere((resized > 0) & (nearest == 0)).tolist())) == wanted  # and nothing else
    else:
        assert np.array_equal(resized, nearest)
        assert set(np.unique(points)) <= set(np.unique(resized)) or crop.scale == 1


def test_a_thousand_scattered_points_shrunk_to_a_third():
    depth = np.zeros((420, 630), np.float32)
    rows, columns = np.divmod(np.random.default_rng(3).choice(140 * 210, 1000, replace=False), 210)
    depth[3 * rows, 3 * columns] = 1 + rows  # one in each square of 3 x 3, never in its middle
    crop = plan_crop((420, 630), np.array([500.0, 500.0, 315.0, 210.0]), (140, 210))
    assert np.count_nonzero(resize_nearest(depth, crop)) == 0
    kept = resize_sparse(depth, crop)
    assert np.count_nonzero(kept) == 1000 and np.array_equal(kept[rows, columns], 1 + rows)
