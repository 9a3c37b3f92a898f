"""What counts as agreement of depth and cameras: in small pictures the slope of a surface is allowed for."""

from pathlib import Path

import numpy as np

from zipmap_pl.cli.preprocess import report_text
from zipmap_pl.datasets.inspection.agreement import GOOD, DepthView, compare
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
    relative, agree = compare(floor_seen_from(0), floor_seen_from(0.3))
    assert np.mean(relative <= GOOD) < 0.7
    assert agree.mean() > 0.85


def test_a_wrong_unit_does_not_pass_for_a_slope():
    source = floor_seen_from(0)
    wrong = DepthView(source.depth * np.float32(1.3), *(source.intrinsics, source.world_to_cam))
    assert compare(wrong, floor_seen_from(0.3))[1].mean() < 0.2


def test_a_few_scenes_that_disagree_are_no_alarm():
    def text(disagreeing: int) -> str:
        names = tuple(f"scene{number}" for number in range(disagreeing))
        return report_text(Report(Path("shards"), True, 100, 800, 4, 4, 0, (), (), names))

    assert "depth and cameras agree in all but 5 of 100 scenes (scene0, scene1, scene2, ...)" in text(5)
    assert "DISAGREEMENT of depth and cameras in 6 scenes" in text(6)
    assert "agree" not in text(0)
