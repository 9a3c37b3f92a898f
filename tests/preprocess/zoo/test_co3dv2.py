"""CO3Dv2 beyond the suite: which categories, lists and sequences are read; processed forms; lists that are missing or damaged."""

import gzip
import json

import numpy as np
import pytest
from miniatures.zoo.co3dv2 import APPLE, BAD, BOTH, FAILED, FIRST_FILE, NO_CAMERA, UNLISTED, VASE, compressed, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.frame_checks import usable_cam_to_world
from zipmap_pl.preprocess.formats.pytorch3d import annotations_of
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.zoo.co3dv2.lists import frames_of


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def names_of(raw, *options):
    return [scene.name for scene in reader_of("co3dv2", raw, *options).scenes() if scene.frames]


def told(raw):
    return [
        (left.file.rpartition("/")[2], left.reason) for s in reader_of("co3dv2", raw).scenes() for left in s.left_out
    ]


def test_sequences_of_bad_quality_failed_cameras_and_test_lists_are_not_read(raw):
    assert names_of(raw) == [f"apple/{APPLE}", f"apple/{BOTH}", f"vase/{VASE}"]
    assert not {BAD, UNLISTED, FAILED} & {name.split("/")[1] for name in names_of(raw)}


def test_frames_are_in_the_order_of_their_numbers_and_have_the_names_of_their_files(raw):
    frames = reader_of("co3dv2", raw).scenes()[1].frames
    assert frames == ("frame000005", "frame000006", "frame000007", "frame000008")


def test_only_the_frames_on_the_list_are_read(raw):
    file = raw / "apple/set_lists/set_lists_fewview_train.json"
    values = json.loads(file.read_text())
    values["train"] = [entry for entry in values["train"] if not entry[2].endswith("frame000006.jpg")]
    file.write_text(json.dumps(values))
    assert "frame000006" not in reader_of("co3dv2", raw).scenes()[0].frames


def test_categories_are_chosen_by_name(raw):
    assert names_of(raw, "--categories", "vase") == [f"vase/{VASE}"]
    with pytest.raises(UserError, match="--categories: pear: expected all, or some of apple, "):
        reader_of("co3dv2", raw, "--categories", "pear")
    assert "ball" not in {scene.name for scene in reader_of("co3dv2", raw).scenes()}
    everything = reader_of("co3dv2", raw, "--categories", "all").scenes()
    assert [left.reason for scene in everything if scene.name == "ball" for left in scene.left_out] == ["missing"]


def test_depth_is_the_bits_of_half_floats_where_the_views_agree_and_nowhere_else(raw):
    reader = reader_of("co3dv2", raw)
    depth = reader.frame(reader.scenes()[0], "frame000005").depth
    assert not depth[:10].any()
    assert 0.5 < np.median(depth[depth > 0]) < 20
    assert (depth[-2, 0], depth[-2, 1] > 0) == (0, True)  # 127 is no agreement, 128 is


def test_a_frame_of_another_intrinsics_format_has_the_same_intrinsics(raw):
    reader = reader_of("co3dv2", raw)
    first, second = (reader.camera(reader.scenes()[1], f"frame00000{k}").intrinsics for k in (5, 6))
    np.testing.assert_allclose(first, second)


@pytest.mark.parametrize("part", ["train", "test"])
def test_processed_forms_are_refused(raw, part):
    (raw / f"selected_seqs_{part}.json").write_text("{}")
    with pytest.raises(
        UserError, match=f"selected_seqs_{part}.json: belongs to a processed form, whose depth is another"
    ):
        reader_of("co3dv2", raw).scenes()


def test_a_sequence_without_a_proper_name_or_score_is_not_a_good_one(raw):
    entries = [{"sequence_name": ["a"], "viewpoint_quality_score": 1.0}, {"sequence_name": APPLE}, {}]
    (raw / "apple/sequence_annotations.jgz").write_bytes(compressed(entries))
    assert names_of(raw) == [f"vase/{VASE}"]


@pytest.mark.parametrize(
    ("file", "contents", "reason"),
    [
        ("frame_annotations.jgz", None, "missing"),
        ("frame_annotations.jgz", compressed([{"sequence_name": 5}]), "entry 0 is no frame"),
        ("sequence_annotations.jgz", None, "missing"),
        ("sequence_annotations.jgz", b"garbage", "unreadable gzip"),
        ("set_lists_fewview_train.json", b'{"val": []}', "has no list train"),
        ("set_lists_fewview_train.json", b'{"train": [["a", 1]]}', r"train holds \['a', 1\], expected sequence"),
    ],
)
def test_a_list_that_a_category_needs_is_told_once_and_the_others_are_read(raw, file, contents, reason):
    (path,) = (raw / "apple").rglob(file)
    path.unlink() if contents is None else path.write_bytes(contents)
    assert names_of(raw) == [f"vase/{VASE}"]
    ((name, found),) = told(raw)
    assert name == file
    with pytest.raises(RawFault, match=reason):
        raise RawFault(name, found)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"scale_adjustment": float("nan")}, "scale_adjustment is nan"), ({"T": [float("nan"), 0, 0]}, "pose holds nan")],
)
def test_a_bad_entry_of_a_list_is_damage_of_one_frame(raw, change, reason):
    """Neither passed over nor the end of its sequence."""
    (file,) = (raw / "apple").rglob("frame_annotations.jgz")
    entries = json.loads(gzip.decompress(file.read_bytes()))
    entry = next(e for e in entries if "frame000005" in e["image"]["path"] and e["sequence_name"] == BOTH)
    for part in ("depth", "viewpoint"):
        entry[part].update({name: value for name, value in change.items() if name in entry[part]})
    file.write_bytes(compressed(entries))
    annotations_of.cache_clear()
    frames_of.cache_clear()
    reader = reader_of("co3dv2", raw)
    scene = next(scene for scene in reader.scenes() if scene.name == f"apple/{BOTH}")
    with pytest.raises(RawFault, match=reason) as fault:
        usable_cam_to_world("", reader.frame(scene, "frame000005").camera)
    assert not fault.value.usual
    reader.frame(scene, "frame000006")


@pytest.mark.parametrize("part", ["images", "depths", "depth_masks", "masks"])
def test_a_frame_without_a_camera_whose_files_are_damaged_is_not_passed_over(raw, part):
    reader = reader_of("co3dv2", raw)
    scene, frame = reader.scenes()[0], f"frame{NO_CAMERA + FIRST_FILE:06d}"
    assert frame in scene.frames
    with pytest.raises(RawFault, match="has no camera") as fault:
        reader.frame(scene, frame)
    assert fault.value.usual
    for file in (raw / "apple" / APPLE / part).glob(f"{frame}*"):
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(RawFault, match=f"/{part}/") as fault:
        reader.frame(scene, frame)
    assert not fault.value.usual


def test_without_the_one_list_the_other_is_taken(raw):
    (raw / "apple/set_lists/set_lists_fewview_train.json").unlink()
    assert names_of(raw) == [f"vase/{VASE}"]  # the other one names nothing of the apples


def test_a_folder_without_any_category_is_told(tmp_path):
    with pytest.raises(UserError, match="no category of --categories, such as apple"):
        reader_of("co3dv2", tmp_path).scenes()
