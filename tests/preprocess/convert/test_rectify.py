"""Lens distortion is taken out of pictures, depth and masks: what comes out is what a pinhole camera sees."""

from dataclasses import replace

import numpy as np
import pytest
from miniatures.rooms import Room, pinhole

from zipmap_pl.preprocess.convert.rectify import rectified, resampled
from zipmap_pl.preprocess.engine.frame_checks import usable_distortion
from zipmap_pl.preprocess.raw import RawCamera, RawFault, RawFrame

HEIGHT, WIDTH = 120, 160
INTRINSICS = pinhole(110.0, 83.0, 58.0)


def bent_rays(k1, k2, p1, p2):
    """Directions [H, W, 3] of the pixels of a camera with this distortion, by iteration of its definition."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    bent_x = (columns - INTRINSICS[0, 2]) / INTRINSICS[0, 0]
    bent_y = (rows - INTRINSICS[1, 2]) / INTRINSICS[1, 1]
    x, y = bent_x, bent_y
    for _ in range(60):
        square = x * x + y * y
        radial = 1 + k1 * square + k2 * square**2
        x, y = (
            (bent_x - (2 * p1 * x * y + p2 * (square + 2 * x * x))) / radial,
            (bent_y - (p1 * (square + 2 * y * y) + 2 * p2 * x * y)) / radial,
        )
    return np.stack((x, y, np.ones_like(x)), axis=-1)


@pytest.mark.parametrize("lens", [(-0.12, 0.03, 0.002, -0.003), (0.15, -0.02, 0.0, 0.004)])
def test_what_comes_out_is_what_a_pinhole_camera_sees(lens):
    room = Room(open_sky=True, seed=5)
    pose = room.pose(3)
    raw = room.trace(pose, bent_rays(*lens))
    camera = RawCamera(INTRINSICS, pose, distortion=lens)
    frame = rectified(RawFrame(camera, raw.image, depth=raw.depth.astype(np.float32), sky=raw.sky))
    assert frame.camera.distortion == ()
    seen = room.see(pose, frame.camera.intrinsics, HEIGHT, WIDTH)
    assert (seen.sky != frame.sky).mean() < 0.01
    both = (seen.depth > 0) & (frame.depth > 0)
    error = np.abs(frame.depth - seen.depth)[both] / seen.depth[both]
    assert np.median(error) < 0.003 and np.percentile(error, 95) < 0.015
    still = ~seen.sky & ~frame.sky
    difference = np.abs(frame.image.astype(float) - seen.image)[still].mean()
    assert difference < 1.0
    half = np.array(((0, 0, 0.5), (0, 0, 0.5), (0, 0, 0)))
    shifted = room.see(pose, frame.camera.intrinsics + half, HEIGHT, WIDTH)
    assert np.abs(frame.image.astype(float) - shifted.image)[still].mean() > 1.5 * difference


def test_no_distortion_changes_nothing():
    frame = RawFrame(RawCamera(INTRINSICS, np.eye(4)), np.zeros((HEIGHT, WIDTH, 3), np.uint8), jpeg=b"kept")
    assert rectified(frame) is frame


def test_resampling_through_the_pixels_themselves_is_exact():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    depth, moving = rng.random((HEIGHT, WIDTH), np.float32), rng.random((HEIGHT, WIDTH)) > 0.5
    columns, rows = np.meshgrid(np.arange(WIDTH) + np.float32(0.5), np.arange(HEIGHT) + np.float32(0.5))
    frame = RawFrame(RawCamera(INTRINSICS, np.eye(4)), image, depth=depth, dynamic=moving, object=~moving)
    same = resampled(frame, columns, rows, INTRINSICS)
    np.testing.assert_array_equal(same.image, image)
    np.testing.assert_array_equal(same.depth, depth)
    np.testing.assert_array_equal(same.dynamic, moving)
    np.testing.assert_array_equal(same.object, ~moving)
    beside = resampled(frame, columns + WIDTH, rows, INTRINSICS)
    assert not beside.depth.any() and not beside.dynamic.any()


@pytest.mark.parametrize("values", [(0.1,), (0.1, float("nan"), 0, 0)])
def test_distortion_that_is_none(values):
    with pytest.raises(RawFault, match="lens distortion is"):
        usable_distortion("s/0", RawCamera(INTRINSICS, np.eye(4), distortion=values))


def test_depth_between_samples_is_nearer_to_the_truth_and_the_rest_is_the_same():
    room = Room(seed=5)
    pose = room.pose(3)
    raw = room.see(pose, INTRINSICS, HEIGHT, WIDTH)
    wanted = pinhole(150.0, 81.3, 58.9)
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    columns, rows = (columns - 81.3) / 150 * 110 + 83, (rows - 58.9) / 150 * 110 + 58
    frame = RawFrame(RawCamera(INTRINSICS, pose), raw.image, depth=raw.depth.astype(np.float32), sky=raw.depth > 2)
    nearest = resampled(frame, columns, rows, wanted)
    between = resampled(frame, columns, rows, wanted, between_samples=True)
    true = room.see(pose, wanted, HEIGHT, WIDTH).depth
    error, before = (np.abs(found.depth / true - 1) for found in (between, nearest))
    assert np.percentile(error, 99) < 0.2 * np.percentile(before, 99)
    np.testing.assert_array_equal(between.image, nearest.image)
    np.testing.assert_array_equal(between.sky, nearest.sky)
    assert resampled(replace(frame, depth=None), columns, rows, wanted, between_samples=True).depth is None
