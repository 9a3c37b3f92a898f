"""ScanNet beyond the suite: one scan in all layouts, the two cameras, any cut and any altered byte, large files, splits."""

import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures.zoo import scannet as mini

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.frame_checks import usable_cam_to_world
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.formats import sens
from zipmap_pl.preprocess.formats.pictures import decoded_picture
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.zoo.scannet import ScanNet

NAME = "scene0000_00"
FILE = f"scans/{NAME}/{NAME}.sens"
FRAMES = 6


@pytest.fixture(scope="module")
def made():
    return mini.scan(7, FRAMES, lost=(2,))


def write_export(folder, made):
    for file, data in mini.exported(made, "intrinsic/intrinsic_depth.txt").items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)


def only_scene(raw):
    reader = ScanNet(raw)
    (scene,) = reader.scenes()
    return reader, scene


def same(left, right):
    """Whether two frames hold the same, poses to the six digits of the exporter."""
    np.testing.assert_array_equal(left.image, right.image)
    np.testing.assert_array_equal(left.depth, right.depth)
    np.testing.assert_allclose(left.camera.intrinsics, right.camera.intrinsics, atol=2e-6)
    np.testing.assert_allclose(left.camera.cam_to_world, right.camera.cam_to_world, atol=1e-6)


def test_a_scan_is_the_same_in_every_layout(made, tmp_path):
    mini.write_sens(tmp_path / "a" / FILE, made)
    write_export(tmp_path / "b" / NAME, made)
    (tmp_path / "c").mkdir()
    with zipfile.ZipFile(tmp_path / "c/scannet_frames_25k.zip", "w") as archive:
        for file, data in mini.exported(made, "intrinsics_depth.txt").items():
            archive.writestr(f"scannet_frames_25k/{NAME}/{file}", data)
    reader, scene = only_scene(tmp_path / "a")
    assert scene.frames == tuple(str(k) for k in range(FRAMES))
    for other in ("b", "c"):
        exported, found = only_scene(tmp_path / other)
        assert found == scene
        for frame in scene.frames:
            same(exported.frame(found, frame), reader.frame(scene, frame))


@pytest.mark.parametrize("layout", ["container", "export"])
def test_lost_tracking_is_passed_over_and_a_pose_that_is_nan_is_a_fault(made, tmp_path, layout):
    poses = [np.full((4, 4), np.nan) if k == 4 else pose for k, pose in enumerate(made.poses)]
    poses[5] = np.where(np.eye(4) > 0, -np.inf, poses[5])  # lost tracking fills the matrix
    scan = replace(made, poses=poses)
    if layout == "export":
        write_export(tmp_path / NAME, scan)
    else:
        mini.write_sens(tmp_path / FILE, scan)
    reader, scene = only_scene(tmp_path)
    for frame, reason, usual in (
        ("2", "tracking was lost", True),
        ("4", "pose holds", False),
        ("5", "pose holds", False),
    ):
        with pytest.raises(RawFault, match=reason) as fault:
            usable_cam_to_world(frame, reader.camera(scene, frame))
        assert fault.value.usual == usual


def test_lost_tracking_needs_no_larger_share_of_faults(made, tmp_path):
    write_export(tmp_path / NAME, made)
    report = preprocess(ScanNet(tmp_path), tmp_path / "out", EngineSettings(lossless=True), workers=1)
    assert (report.complete, report.faults) == (True, ())
    assert [*report.passed_over.values()] == [{NAME: ["2"]}]


def test_an_export_beside_its_container_is_not_read_twice(made, tmp_path):
    mini.write_sens(tmp_path / FILE, made)
    write_export(tmp_path / "scans" / NAME, mini.scan(8, 2))
    _, scene = only_scene(tmp_path)
    assert (len(scene.frames), scene.left_out) == (FRAMES, ())


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    write_export(tmp_path / NAME, mini.scan(1, 12))
    for part in ("color/1.jpg", "depth/1.png", "pose/1.txt"):
        (tmp_path / NAME / part).unlink()
    (tmp_path / NAME / "color/notes.txt").write_text("no frame")
    _, scene = only_scene(tmp_path)
    assert scene.frames == ("0", *(str(k) for k in range(2, 12)))


# The two cameras.


def test_nominal_intrinsics_are_counted_from_the_corner(tmp_path):
    scan = mini.scan(1, 1)
    nominal = np.diag((577.87, 577.87, 1.0, 1.0))
    nominal[:2, 2] = 319.5, 239.5
    mini.write_sens(tmp_path / FILE, scan, depth_k=nominal)
    reader, scene = only_scene(tmp_path)
    expected = ((577.87, 0, 320.0), (0, 577.87, 240.0), (0, 0, 1))
    np.testing.assert_allclose(reader.camera(scene, "0").intrinsics, expected, rtol=1e-6)


def test_a_picture_of_the_size_of_its_depth_is_kept_byte_for_byte(tmp_path):
    scan = mini.scan(1, 1, colour=mini.DEPTH)
    mini.write_sens(tmp_path / FILE, scan)
    reader, scene = only_scene(tmp_path)
    assert reader.frame(scene, "0").jpeg == scan.jpegs[0]


def test_larger_pictures_are_no_longer_their_jpeg(made, tmp_path):
    mini.write_sens(tmp_path / FILE, made)
    reader, scene = only_scene(tmp_path)
    assert reader.frame(scene, "0").jpeg is None


def test_depth_larger_than_its_picture_is_sampled_never_mixed(tmp_path):
    scan = mini.scan(1, 1, colour=(32, 24))
    mini.write_sens(tmp_path / FILE, scan)
    reader, scene = only_scene(tmp_path)
    frame = reader.frame(scene, "0")
    assert frame.image.shape == (24, 32, 3) and frame.jpeg == scan.jpegs[0]
    expected = np.array(((28.6, 0, 16), (0, 28.7, 12), (0, 0, 1)))
    np.testing.assert_allclose(frame.camera.intrinsics, expected, rtol=1e-6)
    assert frame.depth.shape == (24, 32)
    assert set(np.rint(frame.depth.ravel() * 1000)) <= set(scan.depths[0].ravel())


def test_depth_shift_divides(made, tmp_path):
    mini.write_sens(tmp_path / FILE, made, shift=4000.0)
    reader, scene = only_scene(tmp_path)
    np.testing.assert_allclose(reader.frame(scene, "1").depth, made.depths[1] / 4000, rtol=1e-6)


@pytest.mark.parametrize("moved", [0.0, 0.04])
def test_extrinsics_between_the_cameras_are_told_and_not_applied(made, tmp_path, caplog, moved):
    extrinsics = np.eye(4)
    extrinsics[0, 3] = moved
    mini.write_sens(tmp_path / "a" / FILE, made, depth_extrinsics=extrinsics)
    write_export(tmp_path / "b" / NAME, made)
    (tmp_path / f"b/{NAME}/intrinsic/extrinsic_color.txt").write_bytes(mini.as_text(extrinsics))
    for layout in "ab":
        caplog.clear()
        reader, scene = only_scene(tmp_path / layout)
        assert caplog.text.count("1 scans (scene0000_00 first) have extrinsics") == (moved > 0)
        np.testing.assert_allclose(reader.camera(scene, "1").cam_to_world, made.poses[1], atol=1e-6)


# Damage anywhere in a .sens.


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """A reader of a .sens that tests may spoil, its scene, its bytes, and its frames."""
    raw = tmp_path_factory.mktemp("whole")
    mini.write_sens(raw / FILE, made, imu=1)
    reader, scene = only_scene(raw)
    return reader, scene, (raw / FILE).read_bytes(), [reader.frame(scene, frame) for frame in scene.frames]


def read_spoilt(whole, data):
    """What the reader says of other bytes: a frame or a fault for each, or None if all are left out."""
    reader, scene, _, _ = whole
    file = reader.raw / FILE
    file.unlink()
    file.write_bytes(data)
    sens._header.cache_clear()
    sens._index.cache_clear()
    (found,) = reader.scenes()
    if not found.frames:
        assert found.left_out
        return None
    results = []
    for frame in found.frames[: FRAMES + 2]:
        try:
            results.append(reader.frame(scene, frame))
        except RawFault as fault:
            assert fault.file == str(file)
            results.append(fault.reason)
    return results


@settings(max_examples=60, deadline=None)
@given(record=st.integers(0, FRAMES - 1), share=st.floats(0, 1), shift=st.sampled_from((-1, 0, 1, 95, 96, 97, None)))
def test_frames_before_any_cut_are_kept_and_the_rest_is_told_once(whole, record, share, shift):
    """Near the start of a record, or anywhere."""
    _, _, data, frames = whole
    places = places_of(data)
    cut = int(share * len(data)) if shift is None else places[record][0] + shift
    ends = [start + 96 + picture + depth for start, picture, depth in places]
    there = sum(end <= cut for end in ends)
    results = read_spoilt(whole, data[:cut])
    if results is None:
        assert cut < places[0][0]
        return
    for frame, end, result in zip(frames, ends, results, strict=True):
        if end <= cut:
            same(result, frame)
        else:
            assert result == f"cut off (or its byte counts lie): {there} of {FRAMES} frames are there"


def places_of(data):
    """Start, bytes of picture and depth of each record of the undamaged file, counted here."""
    places, start = [], 304 + len("StructureSensor")
    for _ in range(FRAMES):
        counts = struct.unpack_from("<QQ", data, start + 80)
        places.append((start, *counts))
        start += 96 + sum(counts)
    return places


@settings(max_examples=80, deadline=None)
@given(place=st.floats(0, 1), value=st.integers(1, 255), in_head=st.booleans())
def test_any_altered_byte_is_a_fault_or_harmless(whole, place, value, in_head):
    data = bytearray(whole[2])
    data[int(place * (420 if in_head else len(data) - 1))] ^= value
    results = read_spoilt(whole, bytes(data))
    for result in results or ():
        assert isinstance(result, str) or result.image.shape[:2] == result.depth.shape


def test_more_than_the_promised_frames_are_told(made, tmp_path, caplog):
    mini.write_sens(tmp_path / FILE, made, frames=4)
    assert len(sens.frame_index(tmp_path / FILE).places) == 4
    assert "bytes follow its last frame and are no IMU readings" in caplog.text


@pytest.mark.parametrize("imu", [0, 1, 3])
def test_imu_readings_are_no_frames(made, tmp_path, caplog, imu):
    mini.write_sens(tmp_path / FILE, made, imu=imu)
    assert len(sens.frame_index(tmp_path / FILE).places) == FRAMES
    assert not caplog.text


# Size.


def test_a_container_of_any_size_costs_no_memory(made, tmp_path):
    """Six frames of 800 MB, most of it holes: reading the last, small one takes as much memory as one small frame."""
    file = tmp_path / FILE
    short = replace(made, jpegs=made.jpegs[:1], depths=made.depths[:1], poses=made.poses[:1])
    mini.write_sens(file, short, frames=FRAMES + 1)
    data = file.read_bytes()
    small, hole = data[mini.START : -8], 800 << 20
    with file.open("wb") as stream:
        stream.write(data[: mini.START])
        for _ in range(FRAMES):
            stream.write(small[:80] + struct.pack("<QQ", 10, hole - 10))
            stream.seek(hole, 1)
        stream.write(small + bytes(8))
    reader, scene = only_scene(tmp_path)
    tracemalloc.start()
    try:
        assert reader.frame(scene, str(FRAMES)).depth is not None
        with pytest.raises(RawFault, match="depth of 838860790 bytes"):
            reader.frame(scene, "0")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_depth_that_inflates_to_more_than_a_frame_takes_no_more_memory():
    bomb = zlib.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(RawFault, match="not the 6144 bytes of 64x48"):
            sens.inflate_depth("file", bomb, (48, 64))
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_a_file_of_zeros_ends(made, tmp_path):
    """As a download that was set aside and never filled: frames without bytes are told, not read for ever."""
    mini.write_sens(tmp_path / FILE, made, frames=2**63)
    with (tmp_path / FILE).open("r+b") as stream:
        stream.truncate(mini.START)
        stream.truncate(1 << 34)
    reader, scene = only_scene(tmp_path)
    assert len(scene.frames) == sens.MAX_FRAMES and "promises 9223372036854775808 frames" in scene.left_out[0].reason
    with pytest.raises(RawFault, match="picture of 0 bytes"):
        reader.frame(scene, "5")


@pytest.mark.parametrize("start", [b"\xff\xc0", b"\xff\xff\xff\xc0", b"\xff\xe0\x00\x04ab\xff\xc2"])
def test_a_jpeg_of_900_million_pixels_is_refused_before_it_is_decoded(made, start):
    jpeg = b"\xff\xd8" + start + b"\x00\x11\x08" + struct.pack(">HH", 30_000, 30_000) + made.jpegs[0]
    with pytest.raises(RawFault, match="promises 30000x30000 pixels"):
        decoded_picture("file", jpeg)


@pytest.mark.parametrize("end", range(2, 30))
def test_a_jpeg_that_ends_in_its_head_is_unreadable(made, end):
    with pytest.raises(RawFault, match="unreadable picture"):
        decoded_picture("file", made.jpegs[0][:end])


# Splits.


def splits_of(raw, folder=None):
    return {scene.name: scene.split for scene in ScanNet(raw, folder).scenes()}


def test_test_scans_are_known_by_number_or_folder(tmp_path):
    for name in ("scans/scene0706_00", "scans/scene0707_00", "scans_test/scene0001_00"):
        write_export(tmp_path / name, mini.scan(1, 1))
    assert splits_of(tmp_path) == {"scene0001_00": "test", "scene0706_00": "train", "scene0707_00": "test"}
    assert splits_of(tmp_path / "scans_test") == {"scene0001_00": "test"}


def test_official_lists_decide_for_the_scans_that_they_name(tmp_path):
    for name in ("scene0001_00", "scene0001_01", "scene0707_00"):
        write_export(tmp_path / "raw" / name, mini.scan(1, 1))
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "scannetv2_val.txt").write_text("scene0001_01\nscene0999_00\n\n")
    assert splits_of(tmp_path / "raw", lists) == {
        "scene0001_00": "train",
        "scene0001_01": "val",
        "scene0707_00": "test",
    }
    before = ScanNet(tmp_path, lists).settings()
    (lists / "scannetv2_train.txt").write_text("scene0001_00\r\n")
    assert ScanNet(tmp_path, lists).settings() != before != ScanNet(tmp_path).settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scene0001_00\nscene1\n", "scannetv2_val.txt: line 2 is 'scene1', expected a scene like scene0000_00"),
        ("scene0002_00\n", "scannetv2_val.txt: line 1: scene0002_00 is also in scannetv2_train.txt"),
        (None, "holds none of scannetv2_train.txt, scannetv2_val.txt, scannetv2_test.txt"),
    ],
)
def test_lists_that_cannot_be_used_are_told(tmp_path, text, message):
    write_export(tmp_path / NAME, mini.scan(1, 1))
    if text is not None:
        (tmp_path / "scannetv2_train.txt").write_text("scene0002_00\n")
        (tmp_path / "scannetv2_val.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        splits_of(tmp_path, tmp_path)


def test_a_folder_without_scans_is_told(tmp_path):
    with pytest.raises(UserError, match="no scan scene<nnnn>_<nn>"):
        ScanNet(tmp_path).scenes()
