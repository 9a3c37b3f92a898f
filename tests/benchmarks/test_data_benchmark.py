"""The benchmarks of the data layer run on little, compare what they say, and can fail."""

import cv2
import data
import data_reading
import depth_coding
import loose_files
import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def as_many_threads_as_before(monkeypatch):
    """This process does other things, too."""
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(cv2, "setNumThreads", lambda count: None)


def verdicts(text):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return {row[0]: row[3] for row in rows if row[0] != "measured"}


@pytest.mark.long
def test_the_index(tmp_path, capsys):
    data.main(["index", "--frames", "2000", "--scene", "100", "--draws", "5", "--folder", str(tmp_path)])
    rows = verdicts(capsys.readouterr().out)
    assert set(rows) >= {
        "2,000 frames: open, s",
        "2,000 frames: a worker's RssAnon grows, MB",
        "2,000 frames: draw of 48 views, covisibility_walk, 99 % below, ms",
    }
    assert rows["2,000 frames: a worker's RssAnon grows, MB"] == "yes"
    assert list(tmp_path.iterdir()) == []


def test_bytes_read_and_a_limit_that_is_missed(monkeypatch, capsys):
    assert data.main(["bytes", "--frames", "40"]) == 0
    assert list(verdicts(capsys.readouterr().out).values()) == ["yes"]
    monkeypatch.setattr(data_reading, "READ_TIMES", 0.5)
    assert data.main(["bytes", "--frames", "40"]) == 1
    assert list(verdicts(capsys.readouterr().out).values()) == ["**no**"]


def test_loose_files_give_the_geometry_of_the_files(tmp_path):
    depth = np.full((120, 160), 2000, np.uint16)
    cv2.imwrite(str(tmp_path / "depth.png"), depth)
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((120, 160, 3), (10, 20, 30), np.uint8))
    intrinsics = np.array([[150.0, 0, 81], [0, 150.0, 58], [0, 0, 1]])
    pose = np.eye(4)[:3]
    pose[:, 3] = (1, 2, 3)
    frame = loose_files.LooseFrame(tmp_path / "picture.png", tmp_path / "depth.png", 1000.0, intrinsics, pose)
    batch = loose_files.load_batch([[frame] * 3] * 2, (56, 84), True, np.random.default_rng(0))
    assert batch["images"].shape == (2, 3, 3, 56, 84) and batch["depth"].shape == (2, 3, 56, 84)
    assert torch.equal(batch["cam_points"][..., 2], batch["depth"]) and batch["depth"].max() == 2
    known = batch["mask"]
    difference = (batch["cam_points"] - batch["world_points"])[known]
    torch.testing.assert_close(difference, torch.tensor([1.0, 2, 3]).expand_as(difference))


def test_depth_codings(tmp_path, capsys):
    folder = tmp_path / "livingroom_open3d" / "depth"
    folder.mkdir(parents=True)
    slope = np.linspace(500, 4000, 40 * 60).reshape(40, 60).astype(np.uint16)
    slope[:5] = 0
    cv2.imwrite(str(folder / "0.png"), slope)
    assert depth_coding.main(["--data", str(tmp_path), "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    used = next(line for line in lines if line.startswith(f"| {depth_coding.USED} "))
    assert used.split(" | ")[3:6] == ["1.00", "1.0", "1.00"] and "**" not in used
    assert "**" in next(line for line in lines if line.startswith("| half floats, zstd"))  # too small a range
