"""Dynamic Replica beyond the suite: the transpose, layouts, cameras, scales, parts of the download."""

import gzip
import json

import numpy as np
import pytest
from miniatures.zoo.dynamic_replica import BASELINE, LEFT, NOT_THERE, SHORT, TEST, TRAIN, VALID, changed, listed, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.pytorch3d import annotations_of
from zipmap_pl.preprocess.raw import RawFault


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scenes_of(raw, *options):
    return {scene.name: scene for scene in reader_of("dynamic_replica", raw, *options).scenes()}


def test_the_left_cameras_of_all_layouts_are_read_by_default(raw):
    found = {name: scene.split for name, scene in scenes_of(raw).items()}
    assert found == {
        f"test/{TEST}/left": "test",
        f"train/{TRAIN}/left": "train",
        f"train/{SHORT}/left": "train",
        f"valid/{VALID}/left": "val",
    }
    with pytest.raises(UserError, match="--cameras middle: expected left, right or left,right"):
        reader_of("dynamic_replica", raw, "--cameras", "middle")


def test_rotations_are_for_row_vectors(raw):
    """Both readings are rotations; only one is the inverse of what the list's own formula says."""
    entries = json.loads(gzip.decompress((raw / "train/frame_annotations_train.jgz").read_bytes()))
    view = next(e["viewpoint"] for e in entries if e["sequence_name"] == TRAIN and e["frame_number"] == 3)
    rotation, translation = np.array(view["R"]), np.array(view["T"])
    assert not np.allclose(rotation, rotation.T, atol=0.1)
    reader = reader_of("dynamic_replica", raw)
    pose = reader.camera(scenes_of(raw)[LEFT], "0003").cam_to_world
    point = np.array((0.3, -0.4, 2.0))  # in front of the camera, x right, y down
    world = pose[:3, :3] @ point + pose[:3, 3]
    np.testing.assert_allclose(world @ rotation + translation, point * (-1, -1, 1), atol=1e-9)


def test_the_right_camera_stands_a_baseline_to_the_right(raw):
    reader = reader_of("dynamic_replica", raw, "--cameras", "left,right")
    scenes = scenes_of(raw, "--cameras", "left,right")
    left, right = (reader.camera(scenes[f"train/{TRAIN}/{side}"], "0002").cam_to_world for side in ("left", "right"))
    np.testing.assert_allclose((np.linalg.inv(left) @ right)[:3, 3], (BASELINE, 0, 0), atol=1e-9)


def test_sequences_that_are_not_there_are_counted(raw, caplog):
    caplog.set_level("INFO")
    assert not any(NOT_THERE in name for name in scenes_of(raw))
    assert "frame_annotations_train.jgz: 1 of its sequences are not there" in caplog.text


def test_a_scale_of_depth_is_told_once_and_not_applied(raw, caplog):
    reader = reader_of("dynamic_replica", raw)
    before = reader.frame(scenes_of(raw)[LEFT], "0003").depth
    depth = {"path": f"{TRAIN}_source_left/depths/{TRAIN}_source_left_0003.geometric.png", "scale_adjustment": 2.0}
    changed({}, depth=depth)(raw / "train/frame_annotations_train.jgz")
    annotations_of.cache_clear()  # a new process would read the list anew
    scene = scenes_of(raw)[LEFT]
    assert sum("scales of depth other than 1" in record.message for record in caplog.records) == 1
    np.testing.assert_array_equal(reader.frame(scene, "0003").depth, before)


def test_a_bad_entry_of_a_list_costs_its_frame_and_one_without_names_is_told(raw):
    file = raw / "train/frame_annotations_train.jgz"
    entries = json.loads(gzip.decompress(file.read_bytes()))
    bad = next(e for e in entries if (e["sequence_name"], e["camera_name"], e["frame_number"]) == (TRAIN, "left", 3))
    bad["viewpoint"]["T"] = "nowhere"
    file.write_bytes(gzip.compress(json.dumps([*entries, {"sequence_name": None}]).encode()))
    annotations_of.cache_clear()
    scenes, reader = scenes_of(raw), reader_of("dynamic_replica", raw)
    with pytest.raises(RawFault, match="its entry is no frame: viewpoint is not"):
        reader.frame(scenes[LEFT], "0003")
    reader.frame(scenes[LEFT], "0002")
    told = [out.reason for scene in scenes.values() for out in scene.left_out if out.file == str(file)]
    assert told == [f"entry {len(entries)} is no frame: has no 'image'"]


def test_frames_with_the_number_of_another_are_told(raw):
    file = raw / "train/frame_annotations_train.jgz"
    entries = json.loads(gzip.decompress(file.read_bytes()))
    file.write_bytes(
        listed([*entries, next(e for e in entries if (e["sequence_name"], e["camera_name"]) == (TRAIN, "left"))])
    )
    annotations_of.cache_clear()
    scene = scenes_of(raw)[LEFT]
    assert [left.reason for left in scene.left_out] == ["frames with the number of another one: 1"]
    assert len(set(scene.frames)) == len(scene.frames) == 8


def test_depths_that_are_no_number_and_those_at_the_lens_are_unknown(raw):
    reader = reader_of("dynamic_replica", raw)
    depth = reader.frame(scenes_of(raw)[LEFT], "0000").depth
    assert depth[2, 3:8].tolist() == [0] * 5  # 0, infinity, NaN, a hundredth of a millimeter, -1


def test_sequences_without_a_list_are_told(raw):
    for file in raw.rglob("*.jgz"):
        file.unlink()
    (raw / "valid_000.zip").unlink()
    with pytest.raises(
        UserError, match=r"no frame_annotations_<split>.jgz beside or above the folders of sequences, though"
    ):
        reader_of("dynamic_replica", raw).scenes()
