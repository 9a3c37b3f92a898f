"""What counts as agreement of depth and cameras: in small pictures the slope of a surface is allowed for."""

from pathlib import Path

import numpy as np

from zipmap_pl.cli.preprocess import report_text
from zipmap_pl.datasets.inspection.agreement import GOOD, Agreement, DepthView, compare, rule_of, thinned
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.engine.run import Report

HEIGHT, WIDTH = 48, 64
INTRINSICS = np.array([50.0, 50.0, WIDTH / 2, HEIGHT / 2])


def floor_seen_from(forward: float) -> DepthView:
    """A floor one unit below a level camera that moved forward; rows above the horizon see nothing."""
    slope = (np.arange(HEIGHT) + 0.5 - INTRINSICS[3]) / INTRINSICS[1]
    depth = np.where(slope > 0.08, 1 / np.maximum(slope, 1e-9), 0)
    world_to_cam = np.hstack((np.eye(3), [[0], [0], [-forward]]))
    return DepthView(np.repeat(depth[:, None], WIDTH, 1).astype(np.float32), INTRINSICS, world_to_cam)


def test_a_floor_in_a_small_picture_agrees_although_a_pixel_is_many_percent():
    relative, slack = compare(floor_seen_from(0), floor_seen_from(0.3))
    assert np.mean(relative <= GOOD) < 0.7
    assert np.mean(relative <= GOOD + slack) > 0.85


def test_a_wrong_unit_does_not_pass_for_a_slope():
    source = floor_seen_from(0)
    wrong = DepthView(source.depth * np.float32(1.3), *(source.intrinsics, source.world_to_cam))
    relative, slack = compare(wrong, floor_seen_from(0.3))
    assert np.mean(relative <= GOOD + slack) < 0.2


def plate_before_a_wall(place: float) -> DepthView:
    """A plate two units away before a wall four units away, seen by a camera that moved to the right."""
    columns = (np.arange(WIDTH) + 0.5 - INTRINSICS[2]) / INTRINSICS[0]
    depth = np.where(np.abs(2 * columns + place) < 0.5, 2.0, 4.0)
    world_to_cam = np.hstack((np.eye(3), [[-place], [0], [0]]))
    return DepthView(np.repeat(depth[None], HEIGHT, 0).astype(np.float32), INTRINSICS, world_to_cam)


def test_what_a_nearer_surface_hides_is_not_held_against_the_data():
    source, target = plate_before_a_wall(0), plate_before_a_wall(0.6)
    relative, slack = compare(source, target)
    assert relative.size < 0.9 * source.depth.size  # some of the wall behind the plate
    assert np.mean(relative <= GOOD + slack) > 0.95


def test_a_surface_that_the_first_frame_would_have_seen_hides_nothing():
    source, target = plate_before_a_wall(0), plate_before_a_wall(0.6)
    source = DepthView(np.full_like(source.depth, 4.0), *(source.intrinsics, source.world_to_cam))
    relative, slack = compare(source, target)
    assert np.mean(relative <= GOOD + slack) < 0.85


def test_scattered_points_are_thinned_to_the_nearest_of_each_cell_on_the_ray_of_its_sample():
    depth = np.zeros((HEIGHT, WIDTH), np.float32)
    depth[::8, 3::8], depth[1::8, 3::8] = 3.0, 2.0
    small = thinned(DepthView(depth, INTRINSICS, np.eye(4)[:3]), depth.size // 64)
    np.testing.assert_array_equal(small.depth, np.full((HEIGHT // 8, WIDTH // 8), 2.0))
    rows, columns = np.mgrid[4:HEIGHT:8, 4:WIDTH:8] + 0.5  # the sampled pixels
    fx, fy, cx, cy = INTRINSICS
    rays = cameras.pixel_points(np.ones(small.depth.shape), small.intrinsics)
    np.testing.assert_allclose(rays[..., 0], (columns - cx) / fx)
    np.testing.assert_allclose(rays[..., 1], (rows - cy) / fy)


def test_right_data_of_each_kind_have_their_own_rule():
    assert rule_of("static", "real", masked=False, known=0.6) == rule_of("dynamic", "real", masked=True, known=0.6)
    assert rule_of("static", "real", masked=False, known=0.4).within == 0.05
    assert rule_of("static", "synthetic", masked=False, known=0.4).within == 0.02  # half of the image is sky
    moving = rule_of("dynamic", "real", masked=False, known=0.02)
    assert Agreement(0.021, 0.9, moving).disagrees and not Agreement(0.019, 0.1, moving).disagrees


def test_a_few_scenes_that_disagree_are_no_alarm():
    def text(disagreeing: int) -> str:
        names = tuple(f"scene{number}" for number in range(disagreeing))
        return report_text(Report(Path("shards"), True, 300, 800, 4, 4, 0, (), {}, (), names, checked=100))

    assert "depth and cameras agree in all but 5 of 100 scenes (scene0, scene1, scene2, ...)" in text(5)
    assert "DISAGREEMENT of depth and cameras in 6 of 100 compared scenes" in text(6)
    assert "agree" not in text(0)
