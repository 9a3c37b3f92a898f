"""Real sequences and native excerpts of datasets become shards; depth warped by the cameras agrees as in the raw data."""

from dataclasses import dataclass

import numpy as np
import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.agreement import DISAGREEMENT, scene_agreement
from zipmap_pl.datasets.shard_index import ShardIndex
from zipmap_pl.datasets.verification import verify


@dataclass(frozen=True)
class Sequence:
    """How to read a sequence, and what its README measured: frames apart, median relative error, share within 2 %."""

    folder: str
    options: tuple[str, ...]
    frames: int
    step: int
    median: float
    good: float
    scene: int = 0
    dataset: str = "rgbd_folder"


SEQUENCES = {
    "redkitchen": Sequence("sevenscenes_redkitchen", (), 80, 5, 0.0055, 0.91),
    "stairs": Sequence("sevenscenes_stairs_layout", ("--intrinsics", "585,585,320,240"), 12, 2, 0.0051, 0.95, scene=1),
    "hololens": Sequence(
        "hololens_dvmvs",
        ("--color", "images/*.png", "--depth", "depth/*.png", "--poses", "poses.txt", "--pixel-origin", "centre"),
        50,
        3,
        0.0029,
        0.98,
    ),
    "livingroom": Sequence(
        "livingroom_open3d",
        ("--color", "image/*.jpg", "--depth", "depth/*.png", "--poses", "trajectory.log")
        + ("--intrinsics", "525,525,319.5,239.5", "--pixel-origin", "centre"),
        100,
        10,
        0.0005,
        0.97,
    ),
    "tartanair": Sequence(
        "tartanair_raw",
        ("--color", "image_left/*_left.png", "--depth", "depth_left/*_left_depth.npy", "--poses", "pose_left.txt")
        + ("--intrinsics", "320,320,320,240", "--axes", "ned"),
        20,
        4,
        0.0009,
        0.998,
    ),
    "tartanair_as_published": Sequence("tartanair_raw", (), 20, 4, 0.0009, 0.998, dataset="tartanair"),
}


@pytest.fixture(scope="module", params=SEQUENCES)
def prepared(request, shared_data, tmp_path_factory):
    sequence = SEQUENCES[request.param]
    raw, output = shared_data / sequence.folder, tmp_path_factory.mktemp("real") / request.param
    if not raw.is_dir():
        pytest.skip(f"{raw} is not there")
    options = ["--output", str(output), "--workers", "1", *sequence.options]
    assert main(["preprocess", sequence.dataset, str(raw), *options]) == 0
    return sequence, ShardIndex.open(output)


def test_all_frames_are_there_and_whole(prepared):
    sequence, index = prepared
    assert index.frame_count == sequence.frames
    assert index.info["counts"]["faults"] == 0
    assert verify(index.folder) == []


def test_depth_agrees_between_views_as_well_as_in_the_raw_data(prepared):
    """To a tenth (and half a last digit of the README) of the raw median, and 2 points of the share within 2 %."""
    sequence, index = prepared
    agreement = scene_agreement(index, sequence.scene, sequence.step, max_pairs=40)
    assert agreement.median_relative < 1.1 * sequence.median + 5e-5
    assert agreement.good_share > sequence.good - 0.02


def test_right_data_are_not_suspected(prepared):
    _, index = prepared
    assert (index["scene.agreement_good"] >= DISAGREEMENT).all()


def test_rotations_and_neighbours(prepared):
    _, index = prepared
    rotations = index["frame.world_to_cam"][:, :, :3]
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-12)
    assert (index["frame.neighbours"][:, 0] >= 0).all()
    assert (index["frame.neighbour_overlap"][:, 0] > 100).all()
