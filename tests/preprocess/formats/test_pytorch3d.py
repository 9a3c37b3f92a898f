"""Frame annotations of CO3Dv2 and Dynamic Replica: arrays of a long list, and the frames in them."""

import copy
import gzip
import json
import re

import numpy as np
import pytest
from traced_memory import taken_at_most

from zipmap_pl.preprocess.convert.axes import pytorch3d_camera
from zipmap_pl.preprocess.formats.pytorch3d import Annotations, table_of
from zipmap_pl.preprocess.raw import RawFault

SEQUENCE = "110_13051_23361"


def entry(number, sequence=SEQUENCE, **changes):
    """As CO3Dv2 writes it, all keys."""
    return {
        "sequence_name": sequence,
        "frame_number": number,
        "frame_timestamp": number / 30,
        "image": {"path": f"apple/{sequence}/images/frame{number + 1:06d}.jpg", "size": [90, 60]},
        "depth": {
            "path": f"apple/{sequence}/depths/frame{number + 1:06d}.jpg.geometric.png",
            "scale_adjustment": 1.5,
            "mask_path": f"apple/{sequence}/depth_masks/frame{number + 1:06d}.png",
        },
        "mask": {"path": f"apple/{sequence}/masks/frame{number + 1:06d}.png", "mass": 12.5},
        "viewpoint": {
            "R": [[0.0, 1, 0], [-1.0, 0, 0], [0, 0, 1]],
            "T": [0.1, 0.2, 3 + number],
            "focal_length": [2.5, 2.5],
            "principal_point": [0.1, -0.2],
            "intrinsics_format": "ndc_isotropic",
        },
        "meta": None,
    } | changes


def written(folder, entries):
    (folder / "frame_annotations.jgz").write_bytes(gzip.compress(json.dumps(entries).encode()))
    return folder / "frame_annotations.jgz"


def test_frames_come_by_sequence_in_the_order_of_their_numbers(tmp_path):
    entries = [entry(2), entry(0, "1_ü_2"), entry(0), entry(1)]
    frames = Annotations(table_of(written(tmp_path, entries)))
    assert frames.sequences == [(SEQUENCE, ""), ("1_ü_2", "")]
    assert [frame.number for frame in frames.frames(SEQUENCE)] == [0, 1, 2]
    assert frames.frames("another") == []


def test_a_frame_has_what_its_entry_says(tmp_path):
    (frame,) = Annotations(table_of(written(tmp_path, [entry(7)]))).frames(SEQUENCE)
    assert frame.image.endswith("images/frame000008.jpg") and frame.depth.endswith("frame000008.jpg.geometric.png")
    assert frame.depth_mask.endswith("depth_masks/frame000008.png") and frame.mask.endswith("/masks/frame000008.png")
    assert (frame.size, frame.scale, frame.unit, frame.has_viewpoint) == ((90, 60), 1.5, "ndc_isotropic", True)
    np.testing.assert_array_equal(frame.rotation, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(frame.translation, [0.1, 0.2, 10])
    intrinsics, pose = pytorch3d_camera(
        frame.rotation, frame.translation, frame.focal, frame.principal_point, frame.size, frame.unit
    )
    np.testing.assert_allclose(intrinsics, [[75, 0, 27], [0, 75, 51], [0, 0, 1]])
    assert np.linalg.det(pose) == pytest.approx(1)


def test_what_may_be_null_or_missing_is_empty(tmp_path):
    entries = [entry(0, depth=None, mask=None, viewpoint=None), entry(1)]
    del entries[1]["viewpoint"]["intrinsics_format"], entries[1]["mask"], entries[1]["depth"]["scale_adjustment"]
    first, second = Annotations(table_of(written(tmp_path, entries))).frames(SEQUENCE)
    assert (first.depth, first.depth_mask, first.mask, first.has_viewpoint) == ("", "", "", False)
    assert (second.unit, second.mask, second.scale) == ("ndc_norm_image_bounds", "", 1.0)


def test_cameras_of_a_sequence_are_apart(tmp_path):
    """Dynamic Replica has all left frames of a sequence before its right ones."""
    entries = [entry(number, "e0ff8f-3_obj", camera_name=name) for name in ("left", "right") for number in range(2)]
    frames = Annotations(table_of(written(tmp_path, entries)))
    assert frames.sequences == [("e0ff8f-3_obj", "left"), ("e0ff8f-3_obj", "right")]
    assert [frame.camera for frame in frames.frames("e0ff8f-3_obj", "right")] == ["right"] * 2


SPOILT = [
    (["image"], None, "has no|subscriptable"),
    (["image"], {"size": [90, 60]}, "has no 'path'"),
    (["sequence_name"], 5, "'5' is no name"),
    (["sequence_name"], "", "'' is no name"),
    (["frame_number"], 1.5, "1.5 is no number of a frame"),
    (["frame_number"], "\0\ud800", "is no number of a frame"),
    (["frame_number"], -1, "-1 is no number"),
    (["image", "size"], [90], "not enough values"),
    (["image", "size"], [90, 1 << 40], "is no number of a frame, or of pixels"),
    (["viewpoint"], "none", "no attribute 'get'"),
    (["viewpoint", "R"], [[1, 0, 0]], r"viewpoint is not R \[3, 3\]"),
    (["viewpoint", "T"], ["a", 0, 0], "something else than numbers"),
    (["viewpoint", "intrinsics_format"], "pixels", "intrinsics_format is 'pixels', expected ndc_"),
    (["depth"], "none", "no attribute 'get'"),
    (["depth", "scale_adjustment"], "x", "could not convert"),
    (["depth", "scale_adjustment"], float("nan"), "scale_adjustment is nan, expected a positive number"),
    (["depth", "scale_adjustment"], -1.5, "scale_adjustment is -1.5"),
]


def spoilt(path, value):
    """Entry 1 with another value at this path."""
    wrong = copy.deepcopy(entry(1))
    *above, name = path
    inner = wrong
    for step in above:
        inner = inner[step]
    inner[name] = value
    return wrong


@pytest.mark.parametrize(("path", "value", "reason"), SPOILT)
def test_an_entry_that_is_no_frame_costs_that_frame(tmp_path, path, value, reason):
    frames = Annotations(table_of(written(tmp_path, [entry(0), spoilt(path, value), entry(2)])))
    found = {frame.number: frame.fault for frame in frames.frames(SEQUENCE)}
    assert (found.pop(0), found.pop(2)) == ("", "")
    assert [*found] == ([1] if path[0] in ("viewpoint", "depth") or path[1:] == ["size"] else [])
    assert re.search(f"entry( 1)? is no frame: .*({reason})", found.get(1, frames.unnamed))
    assert bool(found) != bool(frames.unnamed)


def test_entries_without_names_are_counted(tmp_path):
    wrong = [spoilt(["sequence_name"], None)] * 3
    frames = Annotations(table_of(written(tmp_path, [*wrong, entry(0)])))
    assert frames.unnamed == "entry 0 is no frame: 'None' is no name (and 2 more)"
    assert frames.sequences == [(SEQUENCE, "")]


def test_a_list_of_something_else_is_refused(tmp_path):
    wrong = entry(1)
    del wrong["frame_number"]
    with pytest.raises(RawFault, match="entry 0 is no frame: has no 'frame_number'"):
        table_of(written(tmp_path, [wrong, {}]))


def test_an_empty_list_has_no_sequences(tmp_path):
    assert Annotations(table_of(written(tmp_path, []))).sequences == []


def test_memory_is_a_fraction_of_the_list(tmp_path):
    file = written(tmp_path, [entry(number) for number in range(2000)])  # 1.6 MB of text, some 10 MB as objects
    with taken_at_most(4_000_000):
        table_of(file)


def test_a_table_that_was_kept_gives_the_same_frames(tmp_path):
    table = table_of(written(tmp_path, [entry(0), entry(1)]))
    np.savez(tmp_path / "kept.npz", **table)
    with np.load(tmp_path / "kept.npz") as kept:
        again = Annotations(dict(kept)).frames(SEQUENCE)
    assert [frame.image for frame in again] == [frame.image for frame in Annotations(table).frames(SEQUENCE)]
