"""Bring-your-own sequences: both layouts, every pose format, and one clear line for each mistake."""

import errno
import shutil

import cv2
import numpy as np
import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import scene_agreement
from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import AXES
from zipmap_pl.preprocess.formats.file_patterns import match_files
from zipmap_pl.preprocess.formats.trajectories import matrix_of_quaternion, read_intrinsics, read_trajectory
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.registry import dataset_names
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions


@pytest.fixture
def raw(toys, tmp_path):
    return toys.write_sequence(tmp_path / "raw", 5)


def write_tum(toys, folder, shift=0.0):
    """The toy sequence in TUM style: times of depth and poses differ from those of the pictures."""
    made = toys.write_sequence(folder / "made", 5)
    (folder / "rgb").mkdir()
    lists = {"rgb": ["# timestamp filename"], "depth": ["# timestamp filename"], "groundtruth": ["# comment"]}
    for k in range(5):
        time = 1305031102.1758 + k / 30
        shutil.move(made / f"frame-{k:06d}.color.png", folder / f"rgb/{time:.4f}.png")
        depth = cv2.imread(str(made / f"frame-{k:06d}.depth.png"), cv2.IMREAD_UNCHANGED).astype(int)
        cv2.imwrite(str(folder / f"rgb/{k}.depth.png"), np.where(depth == 65535, 0, depth * 5).astype(np.uint16))
        lists["rgb"].append(f"{time:.4f} rgb/{time:.4f}.png")
        lists["depth"].append(f"{time + 0.004 + shift:.4f} rgb/{k}.depth.png")
        pose, angle = toys.pose(k), 0.02 * k
        values = (*pose[:3, 3], 0, np.sin(angle / 2), 0, np.cos(angle / 2))
        lists["groundtruth"].append(f"{time - 0.003:.4f} " + " ".join(f"{value:.12f}" for value in values))
    lists["rgb"].append("1305031200.0 rgb/nothing-near-it.png")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    np.savetxt(folder / "K.txt", cameras.intrinsics_matrix(toys.intrinsics))


def test_seven_scenes_style(toys, raw):
    reader = RgbdFolder(raw, RgbdOptions("toy"))
    (scene,) = reader.scenes()
    assert (scene.name, scene.split, scene.frames[:2]) == ("raw", "train", ("000000", "000001"))
    frame = reader.frame(scene, "000003")
    np.testing.assert_allclose(frame.camera.cam_to_world, toys.pose(3))
    np.testing.assert_allclose(frame.camera.intrinsics, cameras.intrinsics_matrix(toys.intrinsics))
    assert (frame.depth[0, :5] == 0).all()
    np.testing.assert_allclose(frame.depth[1:], toys.depth(toys.pose(3))[1:], atol=6e-4)


def test_tum_style_is_associated_by_time(toys, tmp_path):
    write_tum(toys, tmp_path)
    reader = RgbdFolder(tmp_path, RgbdOptions("toy"))
    (scene,) = reader.scenes()
    assert len(scene.frames) == 5
    for k, name in enumerate(scene.frames):
        frame = reader.frame(scene, name)
        np.testing.assert_allclose(frame.camera.cam_to_world, toys.pose(k), atol=1e-9)
        np.testing.assert_allclose(frame.depth[1:], toys.depth(toys.pose(k))[1:], atol=6e-4)


def test_tum_partners_too_far_in_time_are_no_partners(toys, tmp_path):
    write_tum(toys, tmp_path, shift=10.0)
    with pytest.raises(UserError, match="no picture has a depth and a pose within 0.02 s"):
        RgbdFolder(tmp_path, RgbdOptions("toy")).scenes()


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda time: time * 1e9, r"groundtruth\.txt may be in nanoseconds"),
        (lambda time: time * 1e3, r"groundtruth\.txt may be in milliseconds"),
        (lambda time: time - 1305031102, "one may count from its start"),
    ],
)
def test_tum_clocks_that_differ_are_named_with_their_times(toys, tmp_path, change, guess):
    write_tum(toys, tmp_path)
    file = tmp_path / "groundtruth.txt"
    lines = [line.split(" ", 1) for line in file.read_text().splitlines()[1:]]
    file.write_text("".join(f"{change(float(time)):.4f} {rest}\n" for time, rest in lines))
    with pytest.raises(UserError, match=rf"groundtruth\.txt: times .* to .*, but rgb\.txt has 13.*{guess}.*one clock"):
        RgbdFolder(tmp_path, RgbdOptions("toy")).scenes()


def test_a_byte_order_mark_before_lists_and_poses_is_no_mistake(toys, tmp_path):
    write_tum(toys, tmp_path)
    for name in ("rgb", "depth", "groundtruth"):
        file = tmp_path / f"{name}.txt"
        file.write_bytes(b"\xef\xbb\xbf" + b"".join(file.read_bytes().splitlines(keepends=True)[1:]))
    (scene,) = RgbdFolder(tmp_path, RgbdOptions("toy")).scenes()
    assert len(scene.frames) == 5


def test_files_whose_names_are_not_utf_8_are_read_by_the_lists_that_name_them(toys, tmp_path):
    write_tum(toys, tmp_path)
    (tmp_path / "rgb").rename(tmp_path / "caf\udce9")
    for name in ("rgb.txt", "depth.txt"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data.replace(b" rgb/", b" caf\xe9/"))
    reader = RgbdFolder(tmp_path, RgbdOptions("toy"))
    (scene,) = reader.scenes()
    assert reader.frame(scene, scene.frames[0]).image.size


def test_what_macos_leaves_next_to_files_is_passed_over(toys, raw):
    for kind in ("color.png", "depth.png", "pose.txt"):
        (raw / f"._frame-000001.{kind}").write_bytes(b"\0\5\x16\7")
    (scene,) = RgbdFolder(
        raw, RgbdOptions("toy", color="*.color.png", depth="*.depth.png", poses="*.pose.txt")
    ).scenes()
    assert len(scene.frames) == 5
    assert len(match_files(raw, "._*.color.png")) == 1


def test_a_frame_whose_name_has_a_newline_is_a_frame(toys, raw):
    for kind in ("color.png", "depth.png", "pose.txt"):
        (raw / f"frame-000001.{kind}").rename(raw / f"frame-0000\n01.{kind}")
    reader = RgbdFolder(raw, RgbdOptions("toy"))
    (scene,) = reader.scenes()
    assert "0000\n01" in scene.frames and len(scene.frames) == 5
    assert reader.frame(scene, "0000\n01").image.size


def test_names_that_are_not_utf_8_are_refused_before_the_work(toys, raw, tmp_path, capsys):
    for kind in ("color.png", "depth.png", "pose.txt"):
        (raw / f"frame-000001.{kind}").rename(raw / f"frame-caf\udce9.{kind}")
    assert main(["preprocess", "rgbd_folder", str(raw), "--output", str(tmp_path / "out"), "--workers", "1"]) == 2
    assert "the name of frame 'caf\\udce9' is not UTF-8; rename the raw files" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_a_folder_whose_name_is_not_utf_8_can_be_reported(toys, tmp_path, capsys):
    raw = tmp_path / "caf\udce9"
    (toys.write_sequence(raw / "kitchen", 5) / "frame-000001.depth.png").unlink()
    command = ["preprocess", "rgbd_folder", str(raw), "--output", str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--max-fault-share", "0.5"]) == 0, capsys.readouterr().err
    assert "caf\\udce9/kitchen/frame-000001.color.png: picture without its depth" in capsys.readouterr().out


def pose_lines(poses, style):
    rows = {
        "16": [" ".join(map(repr, pose.ravel().tolist())) for pose in poses],
        "12": [" ".join(map(repr, pose[:3].ravel().tolist())) for pose in poses],
        "log": [
            f"{k} {k} {k + 1}\n" + "\n".join(" ".join(map(repr, r)) for r in p.tolist()) for k, p in enumerate(poses)
        ],
        "7": [
            " ".join(map(repr, (*pose[:3, 3].tolist(), 0.0, np.sin(0.01 * k).item(), 0.0, np.cos(0.01 * k).item())))
            for k, pose in enumerate(poses)
        ],
    }
    return "\n".join(rows[style]) + "\n"


@pytest.mark.parametrize("style", ["16", "12", "log", "7"])
def test_one_file_of_poses_in_every_format(toys, raw, style):
    poses = [toys.pose(k) for k in range(5)]
    (raw / "poses.txt").write_text(pose_lines(poses, style))
    np.testing.assert_allclose(read_trajectory(raw / "poses.txt"), poses, atol=1e-12)
    reader = RgbdFolder(raw, RgbdOptions("toy", poses="poses.txt"))
    np.testing.assert_allclose(reader.camera(reader.scenes()[0], "000004").cam_to_world, poses[4], atol=1e-12)


def test_quaternions_need_not_be_normalised():
    half = np.sqrt(0.5)
    turn = matrix_of_quaternion(np.array((1.0, 2, 3, 0, 0, 5 * half, 5 * half)))
    np.testing.assert_allclose(turn, ((0, -1, 0, 1), (1, 0, 0, 2), (0, 0, 1, 3), (0, 0, 0, 1)), atol=1e-12)


@pytest.mark.parametrize("axes", AXES)
def test_axes_and_direction_lead_to_the_same_camera(toys, raw, axes):
    """A point in front of the camera, told in the raw axes, is where OpenCV's axes have it."""
    forward, down = {
        "opencv": ((0, 0, 1), (0, 1, 0)),
        "opengl": ((0, 0, -1), (0, -1, 0)),
        "ned": ((1, 0, 0), (0, 0, 1)),
        "sensor": ((1, 0, 0), (0, 0, -1)),
        "pytorch3d": ((0, 0, 1), (0, -1, 0)),
    }[axes]
    for world_to_camera in (False, True):
        pose = toys.pose(4)
        np.savetxt(raw / "frame-000004.pose.txt", np.linalg.inv(pose) if world_to_camera else pose, fmt="%.17g")
        reader = RgbdFolder(raw, RgbdOptions("toy", axes=axes, world_to_camera=world_to_camera))
        camera = reader.camera(reader.scenes()[0], "000004").cam_to_world[:3, :3]
        np.testing.assert_allclose(camera @ (0, 0, 1), pose[:3, :3] @ forward, atol=1e-12)
        np.testing.assert_allclose(camera @ (0, 1, 0), pose[:3, :3] @ down, atol=1e-12)
        assert np.linalg.det(camera) > 0


def test_intrinsics_from_files_numbers_and_either_origin(toys, raw):
    (raw / "four.txt").write_text("50 51 24.5 17.5\n")
    for option, origin, shift in ((None, "corner", 0), ("four.txt", "centre", 0.5), ("50,51,24.5,17.5", "centre", 0.5)):
        reader = RgbdFolder(raw, RgbdOptions("toy", intrinsics=option, pixel_origin=origin))
        matrix = reader.camera(reader.scenes()[0], "000000").intrinsics
        np.testing.assert_allclose(matrix, cameras.intrinsics_matrix(toys.intrinsics + np.array((0, 0, shift, shift))))
    np.savetxt(raw / "wide.txt", np.eye(4))
    np.testing.assert_array_equal(read_intrinsics(raw / "wide.txt"), (1, 1, 0, 0))


def test_sequences_with_splits(toys, tmp_path):
    for number in (1, 2, 3):
        toys.write_sequence(tmp_path / f"stairs/seq-0{number}", 2)
    (tmp_path / "stairs/TrainSplit.txt").write_text("sequence1\r\nsequence3\r\n")
    (tmp_path / "stairs/TestSplit.txt").write_text("sequence2\n")
    scenes = RgbdFolder(tmp_path, RgbdOptions("toy")).scenes()
    assert [(s.name, s.split) for s in scenes] == [
        ("stairs/seq-01", "train"),
        ("stairs/seq-02", "test"),
        ("stairs/seq-03", "train"),
    ]


def test_linked_sequences_are_found_and_circles_end(toys, tmp_path):
    elsewhere = toys.write_sequence(tmp_path / "elsewhere", 2)
    (tmp_path / "raw").mkdir()
    for name in ("a", "b"):
        (tmp_path / "raw" / name).symlink_to(elsewhere)
    (tmp_path / "raw/up").symlink_to(tmp_path / "raw")
    assert [scene.name for scene in RgbdFolder(tmp_path / "raw", RgbdOptions("toy")).scenes()] == ["a"]


def test_frames_are_in_the_order_of_their_numbers(toys, tmp_path):
    raw = toys.write_sequence(tmp_path / "raw", 4, names=["9", "10", "100", "2"])
    assert RgbdFolder(raw, RgbdOptions("toy")).scenes()[0].frames == ("2", "9", "10", "100")


def test_a_turned_jpeg_is_not_kept_as_it_is(toys, raw):
    picture = np.random.default_rng(0).integers(0, 256, (*toys.size, 3), np.uint8)
    plain = cv2.imencode(".jpg", picture)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + plain[2:]
    (raw / "frame-000000.color.png").unlink()
    reader = RgbdFolder(raw, RgbdOptions("toy"))
    for data, kept in ((plain, plain), (turned, None)):
        (raw / "frame-000000.color.jpg").write_bytes(data)
        frame = reader.frame(reader.scenes()[0], "000000")
        assert frame.image.shape == (*toys.size, 3)
        assert frame.jpeg == kept


# Mistakes, through the command line: status 2, one line, nothing half-written.


def run(capsys, raw, output, *options):
    status = main(["preprocess", "rgbd_folder", str(raw), "--output", str(output), "--workers", "1", *options])
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert status == 2
    assert len(lines) == 1, lines
    assert not (output / "dataset.json").exists()
    assert not list(output.rglob("*.tmp"))
    return lines[0]


def test_missing_and_empty_folder(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    for name, line in (("nowhere", "no such folder"), ("empty", "no frames found"), ("raw.txt", "no such folder")):
        assert f"{name}: {line}" in run(capsys, tmp_path / name, tmp_path / "deep/out")
        assert not (tmp_path / "deep").exists()


def test_output_where_it_cannot_or_must_not_be(capsys, toys, raw, tmp_path, monkeypatch):
    before = toys.tree(tmp_path)
    assert "K.txt: is a file; expected a new or empty folder" in run(capsys, raw, write_file(tmp_path / "K.txt"))
    for inside in (raw, raw / "shards", raw / ".." / "raw" / "deep" / "out"):
        assert "lies inside the raw folder" in run(capsys, raw, inside)
    assert "holds 'K.txt' but no plan of ours" in run(capsys, raw, tmp_path)
    assert toys.tree(tmp_path) == {**before, "K.txt": b"1"}
    assert not list(tmp_path.rglob(".lock"))

    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert "out: Permission denied; put that right" in run(capsys, raw, tmp_path / "out")


def write_file(file):
    file.write_bytes(b"1")
    return file


def test_interrupt_is_told_in_one_line(capsys, raw, tmp_path, monkeypatch):
    def interrupt(self, scene, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(RgbdFolder, "frame", interrupt)
    assert main(["preprocess", "rgbd_folder", str(raw), "--output", str(tmp_path / "out"), "--workers", "1"]) == 130
    assert capsys.readouterr().err == "zipmap: interrupted; the same command goes on where this one stopped\n"
    assert not list(tmp_path.rglob("*.tmp"))


def test_unknown_dataset(capsys):
    assert main(["preprocess", "rgbd_foldr", "x"]) == 2
    assert (
        f"unknown dataset 'rgbd_foldr', expected one of {', '.join(dataset_names())}; did you mean rgbd_folder?\n"
        in capsys.readouterr().err
    )


def write_at(name, data):
    return lambda raw: (raw / name).write_bytes(data)


def picture_of(height, width):
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def cut_in_half(name):
    def change(raw):
        data = (raw / name).read_bytes()
        (raw / name).write_bytes(data[: len(data) // 2])

    return change


def flip_a_bit(name):
    def change(raw):
        data = bytearray((raw / name).read_bytes())
        data[len(data) // 2] ^= 1
        (raw / name).write_bytes(data)

    return change


MATRIX = "1 0 0 {}\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        (lambda raw: (raw / "frame-000002.color.png").unlink(), "frame-000002.depth.png: depth without its picture"),
        (lambda raw: (raw / "frame-000002.depth.png").unlink(), "frame-000002.color.png: picture without its depth"),
        (lambda raw: (raw / "frame-000002.pose.txt").unlink(), "000002: no pose frame-*.pose.txt"),
        (write_at("frame-000002.pose.txt", MATRIX.format("nan").encode()), "pose holds nan, expected finite numbers"),
        (write_at("frame-000002.pose.txt", MATRIX.format("-inf").encode()), "pose holds -inf, expected finite numbers"),
        (write_at("frame-000002.pose.txt", b"1 0 0"), "frame-000002.pose.txt: 3 numbers, expected a 4x4 matrix"),
        (write_at("frame-000002.pose.txt", b"a pose"), "frame-000002.pose.txt: line 1 is 'a pose', expected numbers"),
        (write_at("frame-000002.pose.txt", b""), "frame-000002.pose.txt: empty file"),
        (write_at("frame-000002.color.png", b"no png"), "frame-000002.color.png: unreadable picture"),
        (write_at("frame-000002.color.png", picture_of(36, 48)[:60]), "frame-000002.color.png: unreadable picture"),
        (write_at("frame-000002.depth.png", b""), "frame-000002.depth.png: empty file"),
        (write_at("frame-000002.depth.png", b"\x89PNG"), "frame-000002.depth.png: unreadable picture"),
        (cut_in_half("frame-000002.color.png"), "000002.color.png: unreadable picture: the PNG is cut off or altered"),
        (flip_a_bit("frame-000002.depth.png"), "000002.depth.png: unreadable picture: the PNG is cut off or altered"),
        (write_at("frame-000002.depth.png", picture_of(36, 48)), "depth has 3 channels, expected 1"),
        (
            write_at("frame-000002.color.png", picture_of(18, 24)),
            "picture is 24x18, the pictures of this scene are 48x36",
        ),
    ],
)
def test_one_bad_frame(capfd, raw, tmp_path, break_it, line):
    """capfd: libraries in C must not write beside our line either."""
    break_it(raw)
    message = run(capfd, raw, tmp_path / "out")
    assert line in message
    assert "1 of 5 frames could not be used (20.0%, at most 1.0% may be): raw/000002: " in message
    assert (
        main(["preprocess", "rgbd_folder", str(raw), "--output", str(tmp_path / "out"), "--max-fault-share", "0.2"])
        == 0
    )
    assert ShardIndex.open(tmp_path / "out").frame_count == 4


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--color", "image/*.png"), "no file matches image/*.png; give the right names by --color"),
        (("--poses", "trajectory.log"), "no file matches trajectory.log; give the right names by --poses"),
        (("--poses", "camera-intrinsics.txt"), "3 numbers a line; expected 16, 12, 8 or 7 numbers a line"),
        (("--intrinsics", "1,2,3,x"), "--intrinsics 1,2,3,x: expected four numbers"),
        (("--intrinsics", "missing.txt"), "no intrinsics (missing.txt) there or above"),
        (("--intrinsics", "50,51,500,17"), "5 of 5 frames could not be used"),
        (("--axes", "enu"), "--axes: invalid choice: 'enu'"),
        (("--invalid-depth", "x"), "--invalid-depth: 'x', expected numbers with commas between them"),
        (("--depth-scale", "0"), "--depth-scale 0.0: expected a number above 0"),
        (("--workers", "0"), "--workers 0: expected 1 or more"),
        (("--part", "3/2"), "--part 3/2: expected i/n with 1 <= i <= n"),
        (("--part", "x"), "--part x: expected i/n"),
        (("--max-side", "3"), "--max-side 3: expected at least 16"),
        (("--slug", "My Data"), "'My Data': expected lower-case letters, digits and dashes"),
        (("--split", "index"), "split 'index': expected a name"),
    ],
)
def test_wrong_options(capsys, raw, tmp_path, options, line):
    assert line in run(capsys, raw, tmp_path / "out", *options)


def test_no_options_at_all(capsys):
    assert main(["preprocess", "rgbd_folder"]) == 2
    message = capsys.readouterr().err
    assert message == (
        "zipmap: the following arguments are required: RAW, --output; see `zipmap preprocess rgbd_folder --help`\n"
    )


def info_of(capsys, raw, output, *options, status=0):
    """What `zipmap shards info` says of the raw data, read with these options; preprocessing ends with this status."""
    assert main(["preprocess", "rgbd_folder", str(raw), "--output", str(output), "--workers", "1", *options]) == status
    capsys.readouterr()
    assert main(["shards", "info", str(output)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ("--axes", "opengl"),
        ("--axes", "ned"),
        ("--world-to-camera",),
        ("--depth-scale", "5000"),
        ("--intrinsics", "50,51,10,5"),
    ],
)
def test_wrong_conventions_are_seen_in_info(capsys, toys, tmp_path, options):
    raw = toys.write_sequence(tmp_path / "raw", 8)
    assert "DISAGREE" not in info_of(capsys, raw, tmp_path / "right")
    wrong = info_of(capsys, raw, tmp_path / "wrong", *options, status=3)
    assert " - DISAGREES\nDISAGREEMENT in 1 of 1 compared scene: check the options for axes" in wrong


def test_moving_and_rendered_are_told_to_the_dataset(capsys, raw, tmp_path):
    assert "(raw; static, real; licence: not stated)" in info_of(capsys, raw, tmp_path / "plain")
    told = info_of(capsys, raw, tmp_path / "told", "--moving", "--rendered", "--licence", "CC BY 4.0")
    assert "(raw; dynamic, synthetic; licence: CC BY 4.0)" in told


def test_tum_style_from_raw_files_to_shards(capsys, caplog, toys, tmp_path):
    """Clocks differ, one picture has no partner: five frames whose depth and cameras agree."""
    raw = tmp_path / "freiburg"
    raw.mkdir()
    write_tum(toys, raw)
    text = info_of(capsys, raw, tmp_path / "out")
    assert "5 frames of 1 scene in" in text and "0 unusable" in text
    assert "5 of 6 pictures have a depth and a pose within 0.02 s; the others are left out" in caplog.text
    index = ShardIndex.open(tmp_path / "out")
    agreement = scene_agreement(index, 0, step=2)
    assert agreement.median_relative < 2e-3 and agreement.good_share > 0.97
    assert [index.text("frame.name", row) for row in (0, 4)] == ["1305031102.1758", "1305031102.3091"]


def test_too_few_poses(capsys, toys, raw, tmp_path):
    (raw / "poses.txt").write_text(pose_lines([toys.pose(k) for k in range(3)], "16"))
    assert "poses.txt: 3 poses for 5 pictures" in run(capsys, raw, tmp_path / "out", "--poses", "poses.txt")


def test_two_pictures_for_one_frame(capsys, raw, tmp_path):
    shutil.copy(raw / "frame-000001.color.png", raw / "frame-000001.color.jpg")
    assert "fits frame-*.color.* for the same frame; remove one" in run(capsys, raw, tmp_path / "out")


def test_truncated_jpeg_is_a_fault(raw, toys):
    data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (*toys.size, 3), np.uint8))[1].tobytes()
    (raw / "frame-000002.color.png").unlink()
    (raw / "frame-000002.color.jpg").write_bytes(data[: len(data) // 2])
    reader = RgbdFolder(raw, RgbdOptions("toy"))
    with pytest.raises(RawFault, match="unreadable picture"):
        reader.frame(reader.scenes()[0], "000002")


def test_pickled_numpy_depth_is_never_loaded(raw):
    for k in range(5):
        np.save(raw / f"d{k:06d}.npy", np.array([{"an": "object"}]), allow_pickle=True)
    reader = RgbdFolder(raw, RgbdOptions("toy", depth="d*.npy"))
    with pytest.raises(RawFault, match="unreadable numpy file"):
        reader.frame(reader.scenes()[0], "000002")


def test_output_with_shards_of_other_settings(capsys, raw, tmp_path):
    assert main(["preprocess", "rgbd_folder", str(raw), "--output", str(tmp_path / "out"), "--workers", "1"]) == 0
    capsys.readouterr()
    options = ["--output", str(tmp_path / "out"), "--workers", "1", "--max-side", "32"]
    assert main(["preprocess", "rgbd_folder", str(raw), *options]) == 2
    assert "other settings: engine.max_side: 1024 there, 32 now" in capsys.readouterr().err
    assert main(["preprocess", "rgbd_folder", str(raw), *options, "--rebuild"]) == 0
