"""`zipmap shards verify --against`: what other processors may round otherwise is the same, what users would miss is not."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from changed_reader import Changed

from zipmap_pl.cli.main import main
from zipmap_pl.preprocess.engine import encode
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

SETTINGS = EngineSettings(frames_per_shard=3)


@pytest.fixture
def written(toys, tmp_path):
    """Raw folder, and shards of it."""
    raw = toys.write_sequence(tmp_path / "raw", frames=4)
    preprocess(reader(raw), tmp_path / "out", SETTINGS, workers=1)
    return raw, tmp_path / "out"


def reader(raw, **options):
    return RgbdFolder(raw, RgbdOptions("toy", **options))


def compared(written, other, capsys):
    status = main(["shards", "verify", str(written[1]), "--against", str(other)])
    found = capsys.readouterr()
    return status, found.out + found.err


def test_a_grey_level_here_and_there_is_no_difference(written, tmp_path, capsys, monkeypatch):
    resize = cv2.resize
    preprocess(reader(written[0]), tmp_path / "a", replace(SETTINGS, max_side=40, lossless=True), workers=1)
    monkeypatch.setattr(encode.cv2, "resize", lambda *a, **k: resize(*a, **k) ^ one_pixel_in_a_hundred(a[1]))
    preprocess(reader(written[0]), tmp_path / "b", replace(SETTINGS, max_side=40, lossless=True), workers=1)
    tars = [next((tmp_path / name).rglob("*-000000.tar")).read_bytes() for name in "ab"]
    assert tars[0] != tars[1]
    assert compared((written[0], tmp_path / "a"), tmp_path / "b", capsys)[0] == 0


def one_pixel_in_a_hundred(size):
    return (np.arange(size[0] * size[1]).reshape(size[1], size[0], 1) % 100 == 0).astype(np.uint8)


CHANGES = {
    "depths differ by": lambda frame: replace(frame, depth=np.where(frame.depth > 2.2, 1.01, 1.0) * frame.depth),
    "pictures differ by": lambda frame: replace(frame, image=255 - frame.image),
    "which depths are known: another on": lambda frame: replace(frame, depth=frame.depth * (frame.depth > 2.2)),
    "object: there in one only": lambda frame: replace(frame, object=frame.depth > 0),
    "intrinsics differ by": lambda frame: replace(
        frame, camera=replace(frame.camera, intrinsics=frame.camera.intrinsics + np.diag((0.01, 0, 0)))
    ),
}


@pytest.mark.parametrize("told", CHANGES)
def test_differences_are_told_with_their_frame(written, tmp_path, told, capsys):
    preprocess(Changed(reader(written[0]), CHANGES[told]), tmp_path / "b", SETTINGS, workers=1)
    status, text = compared(written, tmp_path / "b", capsys)
    assert status == 1
    assert f"raw/000000: {told}" in text


def test_other_settings_frames_and_scenes_are_told(written, tmp_path, capsys):
    preprocess(reader(written[0], depth_scale=500.0), tmp_path / "b", SETTINGS, workers=1)
    assert compared(written, tmp_path / "b", capsys) == (1, "reader.depth_scale: None and 500.0\n")
    bigger = Changed(reader(written[0]), lambda frame: replace(frame, depth=frame.depth * np.float32(1.01)))
    preprocess(bigger, tmp_path / "bigger", SETTINGS, workers=1)
    assert "scene.unit differs\n" in compared(written, tmp_path / "bigger", capsys)[1]
    shutil.copytree(written[0], tmp_path / "fewer/raw")
    (tmp_path / "fewer/raw/frame-000003.color.png").unlink()
    (tmp_path / "fewer/raw/frame-000003.depth.png").unlink()
    preprocess(reader(tmp_path / "fewer/raw"), tmp_path / "c", SETTINGS, workers=1)
    assert compared(written, tmp_path / "c", capsys) == (1, "4 and 3 frames\n")
    assert compared(written, written[1], capsys)[0] == 0
