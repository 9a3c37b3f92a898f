"""Fisheye lenses against OpenCV and published numbers, and the pinhole cameras made of them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from miniatures.rooms import Room

from zipmap_pl.preprocess.convert.depth_of import planar
from zipmap_pl.preprocess.convert.lens import KB4, Fisheye624, pinhole_of, places_in
from zipmap_pl.preprocess.convert.rectify import resampled
from zipmap_pl.preprocess.raw import RawCamera, RawFrame

WIDE = KB4((310.0, 305.0), (322.7, 236.1), (-0.02, 0.004, -0.003, 0.0005), (480, 640))
ARIA = Fisheye624(  # Aria Synthetic Environments: published values at 704x704, counted from the first pixel's center
    297.6375381033778,
    (357.6599197217746 + 0.5, 349.1922497127481 + 0.5),
    (0.3650890375644368, -0.1738082418112771, -0.7534945484033189, 2.434788882752295, -2.57786220300886, 0.8788483538),
    (0.0008005198595407136, -0.000294237814554143),
    (0.0, 0.0, 0.0, 0.0),
    (704, 704),
    353.75,
)
ARIA_PINHOLE = np.array(((297.6375381033778, 0, 256), (0, 297.6375381033778, 256), (0, 0, 1)))


def rays_ahead(degrees, count=500, seed=0):
    rng = np.random.default_rng(seed)
    off, around = np.radians(rng.uniform(0, degrees, count)), rng.uniform(0, 2 * np.pi, count)
    rays = np.stack((np.sin(off) * np.cos(around), np.sin(off) * np.sin(around), np.cos(off)), axis=-1)
    return rays * rng.uniform(0.1, 50, (count, 1))


def test_kb4_is_opencvs_fisheye():
    rays = rays_ahead(85)
    matrix = np.array(((310.0, 0, 322.7 - 0.5), (0, 305.0, 236.1 - 0.5), (0, 0, 1)))
    expected, _ = cv2.fisheye.projectPoints(
        rays[:, None], np.zeros(3), np.zeros(3), matrix, np.array(WIDE.coefficients)
    )
    np.testing.assert_allclose(WIDE.pixels_of(rays), expected[:, 0] + 0.5, atol=1e-9)


def test_the_axis_itself_is_the_center():
    for lens in (WIDE, ARIA):
        np.testing.assert_array_equal(lens.pixels_of(np.array((0.0, 0.0, 3.0))), lens.center)


def test_fisheye624_without_its_own_terms_is_kb4():
    lens = Fisheye624(310.0, (322.7, 236.1), (*WIDE.coefficients, 0.0, 0.0), (0.0, 0.0), (0.0,) * 4, (480, 640))
    same = KB4((310.0, 310.0), (322.7, 236.1), WIDE.coefficients, (480, 640))
    np.testing.assert_allclose(lens.pixels_of(rays_ahead(80)), same.pixels_of(rays_ahead(80)), atol=1e-11)


def test_fisheye624_bends_tangentially_and_by_its_prism_as_opencvs_lens_does():
    """OpenCV's k1, k2, p1, p2, k3 to k6, s1 to s4, on rays that are bent radially already: p1, p2 = Aria's p1, p0."""
    p0, p1, prism = 0.011, -0.007, (0.004, -0.002, -0.006, 0.003)
    lens = Fisheye624(300.0, (320.0, 240.0), ARIA.coefficients, (p0, p1), prism, (480, 640))
    plain = Fisheye624(1.0, (0.0, 0.0), ARIA.coefficients, (0.0, 0.0), (0.0,) * 4, (480, 640))
    bent = np.concatenate((plain.pixels_of(rays_ahead(50)), np.ones((500, 1))), axis=1)
    matrix = np.array(((300.0, 0, 320), (0, 300, 240), (0, 0, 1)))
    opencv = np.array((0, 0, p1, p0, 0, 0, 0, 0, *prism))
    expected, _ = cv2.projectPoints(bent, np.zeros(3), np.zeros(3), matrix, opencv)
    np.testing.assert_allclose(lens.pixels_of(rays_ahead(50)), expected[:, 0], atol=1e-9)


def test_arias_corners_lie_where_its_own_library_has_them():
    columns, rows = places_in(ARIA, ARIA_PINHOLE, (512, 512))
    first = [columns[0, 0] - 0.5, rows[0, 0] - 0.5]
    last = [columns[-1, -1] - 0.5, rows[-1, -1] - 0.5]
    np.testing.assert_allclose((first, last), ((139.82, 131.00), (576.33, 567.52)), atol=0.006)
    radius = np.hypot(columns - ARIA.center[0], rows - ARIA.center[1])
    assert radius.max() == pytest.approx(309.4, abs=0.05)


@pytest.mark.parametrize("lens", [WIDE, ARIA], ids=["KB4", "FISHEYE624"])
@pytest.mark.parametrize("size", [(480, 640), (300, 300), (400, 250)])
def test_the_pinhole_is_the_widest_that_looks_nowhere_outside(lens, size):
    intrinsics, columns, rows = pinhole_of(lens, size)
    focal = intrinsics[0, 0]
    np.testing.assert_array_equal(intrinsics, ((focal, 0, size[1] / 2), (0, focal, size[0] / 2), (0, 0, 1)))
    corners = np.array([(x, y) for x in np.linspace(0, size[1], 101) for y in np.linspace(0, size[0], 101)])

    def all_shown(focal):
        rays = np.concatenate(((corners - np.array(size)[::-1] / 2) / focal, np.ones((len(corners), 1))), axis=1)
        return lens.shows(rays, lens.pixels_of(rays)).all()

    assert all_shown(focal) and not all_shown(focal * 0.995)
    assert columns.shape == rows.shape == size
    assert (
        (columns >= 0).all() and (columns <= lens.size[1]).all() and (rows >= 0).all() and (rows <= lens.size[0]).all()
    )


def test_a_lens_that_folds_back_is_used_only_up_to_there():
    folding = KB4((300.0, 300.0), (1000.0, 1000.0), (-0.3, 0.0, 0.0, 0.0), (2000, 2000))  # turns back at 60.4 degrees
    intrinsics, *_ = pinhole_of(folding, (100, 100))
    widest = np.degrees(np.arctan(np.hypot(50, 50) / intrinsics[0, 0]))
    assert widest == pytest.approx(np.degrees(np.sqrt(1 / 0.9)), abs=0.1)


def test_outside_of_the_image_and_the_lit_circle_nothing_is_shown():
    wide = np.array(((100.0, 0, 256), (0, 100.0, 256), (0, 0, 1)))
    columns, rows = places_in(ARIA, wide, (512, 512))
    assert columns[0, 0] < 0 and rows[0, 0] < 0 and columns[256, 256] > 0
    shown = columns >= 0
    assert np.hypot(columns - ARIA.center[0], rows - ARIA.center[1])[shown].max() <= ARIA.radius
    assert not ARIA.shows(np.array((0.0, 0, -1)), np.array((350.0, 350)))


def test_a_lens_that_does_not_show_its_axis_has_no_pinhole():
    with pytest.raises(ValueError, match="straight ahead"):
        pinhole_of(KB4((300.0, 300.0), (-20.0, 240.0), (0.0,) * 4, (480, 640)), (480, 640))


SMALL = replace(WIDE, focal=(155.0, 152.5), center=(161.35, 118.05), size=(240, 320))
SMALL_ARIA = replace(ARIA, focal=ARIA.focal / 2, center=(179.08, 174.85), size=(352, 352), radius=ARIA.radius / 2)


@pytest.mark.parametrize("lens", [SMALL, SMALL_ARIA], ids=["KB4", "FISHEYE624"])
def test_a_fisheye_frame_becomes_what_the_pinhole_sees(lens):
    """Rays of the fisheye's pixels come from its formula turned around by a search; the room is in closed form."""
    room = Room(seed=5)
    pose = room.pose(3)
    size = (180, 240)
    columns, rows = np.meshgrid(np.arange(lens.size[1]) + 0.5, np.arange(lens.size[0]) + 0.5)
    pixels = np.stack((columns, rows), axis=-1)
    off = (pixels - lens.center) / 150  # the angle from the axis, in the pixel's direction
    for _ in range(40):
        angle = np.linalg.norm(off, axis=-1, keepdims=True)
        rays = np.concatenate((off * np.sinc(angle / np.pi), np.cos(angle)), axis=-1)
        wrong = pixels - lens.pixels_of(rays)
        off = off + 0.6 * wrong / 150
    raw = room.trace(pose, rays)
    intrinsics, *places = pinhole_of(lens, size)
    distance = np.where(np.abs(wrong).max(axis=-1) < 1e-6, raw.depth, 0).astype(np.float32)
    frame = RawFrame(RawCamera(np.eye(3), pose), raw.image, depth=distance)
    found = resampled(frame, *places, intrinsics, between_samples=True)
    depth = planar(found.depth, intrinsics)
    true = room.see(pose, intrinsics, *size)
    known = depth > 0
    assert known.mean() > 0.99
    assert np.percentile(np.abs(depth / true.depth - 1)[known], 99) < 1e-3
    assert np.abs(found.image.astype(int) - true.image)[known].mean() < 1
