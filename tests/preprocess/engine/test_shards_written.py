"""What stands in the shards: other programs read it, names survive, numbers come back, damage is found."""

import json
import pickle
import re
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures.rooms import Room, pinhole

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.format.dataset_file import pack_dataset_file, parse_dataset_file
from zipmap_pl.datasets.format.depth_coding import SKY, decode_depth, read_codes, read_png
from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader
from zipmap_pl.datasets.format.schema import DATASET_FILE, PARTS, UNIT_FROM_CAMERAS, UNIT_FROM_DEPTH, UNIT_IS_ONE
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import scene_agreement
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.images.resample import resample_layer
from zipmap_pl.preprocess.engine.encode import encode_frame, stored_size
from zipmap_pl.preprocess.engine.neighbours import SceneViews, find_neighbours
from zipmap_pl.preprocess.engine.plan import plan_scene
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

FRAMES = 6


@pytest.fixture(scope="module")
def dataset(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    reader = RgbdFolder(toys.write_sequence(folder / "raw", FRAMES), RgbdOptions("toy"))
    preprocess(reader, folder / "out", EngineSettings(frames_per_shard=4, lossless=True), workers=1)
    return folder / "out"


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "copy")


def samples_of(shards):
    """What webdataset reads; it brings torch, which nothing else here needs."""
    import webdataset

    return list(webdataset.WebDataset(shards, shardshuffle=False))


def test_webdataset_reads_the_same_samples(dataset):
    index = ShardIndex.open(dataset)
    urls = [str(index.shard_file(shard)) for shard in range(index.shard_count)]
    samples = samples_of(urls)
    assert len(samples) == index.frame_count == FRAMES
    for row, sample in enumerate(samples):
        assert sample["__key__"] == f"000000-raw/{row:06d}"
        assert sample["png"] == FrameReader(index).part(row, "image")
        assert sample["depth.npy.zst"] == FrameReader(index).part(row, "depth")
        camera = json.loads(sample["camera.json"])
        assert camera["frame"] == index.text("frame.name", row) == f"{row:06d}"
        np.testing.assert_array_equal(camera["world_to_cam"], index["frame.world_to_cam"][row])


def test_cameras_depths_and_pictures_come_back(toys, dataset):
    index = ShardIndex.open(dataset)
    unit, world = index["scene.unit"][0], index["scene.raw_from_world"][0]
    for row in range(FRAMES):
        pose = toys.pose(row)
        np.testing.assert_allclose(
            cameras.raw_cam_to_world(index["frame.world_to_cam"][row], world, unit), pose[:3], rtol=0, atol=1e-9
        )
        np.testing.assert_array_equal(index["frame.intrinsics"][row], toys.intrinsics)
        depth, _ = FrameReader(index).depth(row)
        raw = np.rint(toys.depth(pose) * 1000) / 1000
        raw[0, :5] = 0
        np.testing.assert_allclose(depth * unit, raw, rtol=1e-3)
        assert index["frame.valid_share"][row] == np.float32((raw > 0).mean())
        np.testing.assert_allclose(
            index["frame.depth_percentiles"][row][1], np.percentile(raw[raw > 0], 90) / unit, rtol=1e-3
        )
        picture = np.random.default_rng((0, row)).integers(0, 256, (*toys.size, 3), np.uint8)
        found = cv2.imdecode(np.frombuffer(FrameReader(index).part(row, "image"), np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(found, picture)


def test_world_unit_and_metres(dataset):
    index = ShardIndex.open(dataset)
    np.testing.assert_allclose(index["frame.world_to_cam"][0], np.eye(4)[:3], atol=1e-12)
    assert index["scene.unit_source"][0] == UNIT_FROM_DEPTH
    assert index["scene.metres_per_unit"][0] == index["scene.unit"][0]
    assert scene_agreement(index, 0, step=3).median_relative < 2e-3


def test_index_travels_to_other_processes_by_its_folder(dataset):
    index = ShardIndex.open(dataset)
    travelled = pickle.dumps(index)
    assert len(travelled) < 500
    np.testing.assert_array_equal(pickle.loads(travelled)["frame.part_crc32"], index["frame.part_crc32"])


@pytest.mark.parametrize("name", ["a.b.tar", "Ünïcödé 日本", "with spaces ", "x" * 140, "UPPER.JPG", "..hidden"])
def test_names_survive(toys, tmp_path, name):
    frames = [f"{name[:100]}-{k}" for k in range(3)]
    toys.write_sequence(tmp_path / "raw" / name, 3, names=frames)
    preprocess(RgbdFolder(tmp_path / "raw", RgbdOptions("toy")), tmp_path / "out", EngineSettings(), workers=1)
    index = ShardIndex.open(tmp_path / "out")
    assert index.text("scene.name", 0) == name
    assert [index.text("frame.name", row) for row in range(3)] == frames
    samples = samples_of(str(index.shard_file(0)))
    assert [json.loads(sample["camera.json"])["frame"] for sample in samples] == frames
    assert verify(tmp_path / "out") == []


# Damage.


def test_a_shard_cut_at_any_block_is_found(copy):
    shard = copy / "train/toy-000001.tar"
    whole = shard.read_bytes()
    for size in range(0, len(whole), 512):
        shard.write_bytes(whole[:size])
        assert verify(copy), f"cut at {size} of {len(whole)}"
    shard.write_bytes(whole)
    assert verify(copy) == []


def test_a_flipped_bit_is_found_and_names_shard_and_sample(copy):
    shard = copy / "train/toy-000000.tar"
    whole = shard.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.integers(8)
        shard.write_bytes(damaged)
        problems = verify(copy)
        assert problems and "toy-000000.tar" in problems[0]
    index = ShardIndex.open(copy)
    offset = int(index["frame.part_offset"][2, PARTS.index("depth")])
    shard.write_bytes(whole[:offset] + bytes(64) + whole[offset + 64 :])
    with pytest.raises(DamagedShard, match=r"toy-000000\.tar: sample raw/000002: depth at \d+ has checksum"):
        FrameReader(index).part(2, "depth")


def test_another_shard_under_the_name_is_found(copy):
    shutil.copy(copy / "train/toy-000001.tar", copy / "train/toy-000000.tar")
    assert verify(copy)
    (copy / "train/toy-000000.tar").unlink()
    assert re.search(r"toy-000000\.tar: missing", verify(copy)[0])


def test_verify_on_the_command_line(copy, capsys):
    assert main(["shards", "verify", str(copy)]) == 0
    shard = copy / "train/toy-000001.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    assert main(["shards", "verify", str(copy)]) == 1
    assert re.search(r"toy-000001\.tar: sample raw/00000\d", capsys.readouterr().err)


def test_incomplete_damaged_or_newer_datasets_are_refused_in_one_line(copy, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        ShardIndex.open(tmp_path / "nowhere")
    column = copy / "index/frame.scene.npy"
    data = column.read_bytes()
    column.write_bytes(data[:100])
    with pytest.raises(UserError, match=r"frame\.scene\.npy: missing or damaged"):
        ShardIndex.open(copy)
    np.save(column, np.zeros(2, np.uint32))
    with pytest.raises(UserError, match=r"uint32\[2\], expected uint32\[6\]|expected .*\[2"):
        ShardIndex.open(copy)
    column.write_bytes(data)
    info = parse_dataset_file((copy / DATASET_FILE).read_bytes(), "")
    (copy / DATASET_FILE).write_bytes(pack_dataset_file({**info, "schema_version": 99}))
    with pytest.raises(UserError, match="schema version 99"):
        ShardIndex.open(copy)
    (copy / DATASET_FILE).unlink()
    with pytest.raises(UserError, match="not complete"):
        ShardIndex.open(copy)


def test_finish_again_writes_the_same_files(toys, copy, dataset):
    (copy / DATASET_FILE).unlink()
    shutil.rmtree(copy / "index")
    assert main(["shards", "finish", str(copy)]) == 0
    assert toys.tree(copy) == toys.tree(dataset)


def test_info_tells_counts_and_agreement(dataset, capsys):
    assert main(["shards", "info", str(dataset)]) == 0
    text = capsys.readouterr().out
    assert "6 frames of 1 scene in 2 shards" in text
    assert re.search(r"raw: 6 frames, 1 unit = 1\.93 m \(median depth\); median difference 0\.\d\d%, 100% of pix", text)
    assert "DISAGREE" not in text


def test_info_verify_and_show_of_what_is_no_dataset(toys, tmp_path, capsys):
    toys.write_sequence(tmp_path / "raw", 3)
    (tmp_path / "file").touch()
    half = ["--output", str(tmp_path / "half"), "--workers", "1", "--frames-per-shard", "2", "--part", "1/2"]
    assert main(["preprocess", "rgbd_folder", str(tmp_path / "raw"), *half]) == 0
    capsys.readouterr()
    for name, line in (
        ("nowhere", "no such folder, expected a dataset in shards"),
        (
            "raw",
            "no dataset.json, so this is no dataset in shards; if it holds raw data, make shards of them with `zipmap",
        ),
        ("file", "is a file, expected the folder of a dataset"),
        (
            "half",
            "no dataset.json, so preprocessing is not complete; run its `zipmap preprocess` again or, if all parts",
        ),
    ):
        for action in ("info", "verify", "show"):
            assert main(["shards", action, str(tmp_path / name)]) == 2
            message = capsys.readouterr().err
            assert message.count("\n") == 1
            assert f"{tmp_path / name}: {line}" in message


# One frame at a time.


class OneScene:
    """A reader of frames in memory."""

    def __init__(self, frames):
        self.frames = frames

    def camera(self, scene, frame):
        return self.frame(scene, frame).camera

    def frame(self, scene, frame):
        return self.frames[int(frame)]

    @property
    def info(self):
        return RgbdFolder(None, RgbdOptions("toy")).info


def raw_frame(height=100, width=200, offset=0.0, **layers):
    pose = np.eye(4)
    pose[0, 3] = offset
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    intrinsics = cameras.intrinsics_matrix(np.array((150.0, 151.0, width / 2, height / 2)))
    return RawFrame(RawCamera(intrinsics, pose), image, **layers)


def planned(*frames):
    reader = OneScene(frames)
    return plan_scene(reader, RawScene("s", "train", tuple(map(str, range(len(frames))))), 0, 0)


def test_pictures_and_intrinsics_are_resized_together_and_depth_is_never_mixed():
    depth = np.where(np.arange(200)[None] < 100, 1.0, 9.0).astype(np.float32).repeat(100, 0).reshape(100, 200)
    frame = raw_frame(depth=depth)
    encoded = encode_frame(frame, planned(frame), 0, EngineSettings(max_side=80))
    assert encoded.row["frame.size"] == (40, 80)
    np.testing.assert_allclose(encoded.row["frame.intrinsics"], (60, 60.4, 40, 20))
    stored = decode_depth(read_codes(encoded.parts["depth"][1], (40, 80)), *encoded.row["frame.depth_range"])
    assert set(np.unique(np.round(stored / stored.min(), 3))) == {1.0, 9.0}
    image = cv2.imdecode(np.frombuffer(encoded.parts["image"][1], np.uint8), cv2.IMREAD_COLOR_RGB)
    assert encoded.parts["image"][0] == "jpg"
    assert image.shape == (40, 80, 3)


def test_no_point_of_sparse_depth_is_lost_when_frames_are_made_smaller():
    depth = np.zeros((100, 200), np.float32)
    rows, columns = np.divmod(np.random.default_rng(0).choice(25 * 50, 200, replace=False), 50)
    depth[4 * rows, 4 * columns + 3] = 2 + rows  # never where the new pixels have their centres
    depth[1::4, 1::4] = np.nan
    frame = raw_frame(depth=depth)
    encoded = encode_frame(frame, planned(frame), 0, EngineSettings(max_side=50))
    stored = decode_depth(read_codes(encoded.parts["depth"][1], (25, 50)), *encoded.row["frame.depth_range"])
    assert np.count_nonzero(stored) == 200
    np.testing.assert_allclose(
        stored[rows, columns] / stored[rows[0], columns[0]], (2 + rows) / (2 + rows[0]), rtol=1e-3
    )


def test_jpegs_are_kept_byte_for_byte_up_to_a_quarter_more_than_the_target():
    frame = raw_frame(jpeg=b"the raw file's own bytes")
    scene = planned(frame)
    assert encode_frame(frame, scene, 0, EngineSettings(max_side=160)).parts["image"] == ("jpg", frame.jpeg)
    assert encode_frame(frame, scene, 0, EngineSettings(max_side=159)).row["frame.size"] == (80, 159)


@given(st.integers(40, 400), st.integers(40, 400), st.integers(20, 420))
def test_intrinsics_come_back_exactly_when_the_resizing_is_undone(height, width, max_side):
    frame = raw_frame(height, width)
    encoded = encode_frame(frame, planned(frame), 0, EngineSettings(max_side=max_side))
    stored_height, stored_width = encoded.row["frame.size"]
    back = cameras.scale_intrinsics(encoded.row["frame.intrinsics"], width / stored_width, height / stored_height)
    np.testing.assert_allclose(back, (150.0, 151.0, width / 2, height / 2), rtol=1e-14)


@pytest.mark.filterwarnings("error")
def test_depths_that_are_none_are_unknown_and_spoil_nothing():
    depth = np.full((100, 200), 4.0, np.float32)
    depth[:2, :4] = [[np.nan, np.inf, -np.inf, 0.0], [-1.0, -1e30, 1e-30, 1e30]]
    frame = raw_frame(depth=depth)
    encoded = encode_frame(frame, planned(frame), 0, EngineSettings())
    view = encoded.depth_view().depth
    np.testing.assert_array_equal(view[:2, :4] > 0, [[False] * 4, [False, False, True, True]])
    assert encoded.row["frame.valid_share"] == (depth.size - 6) / depth.size
    np.testing.assert_allclose(encoded.row["frame.depth_percentiles"][1:], 1.0)
    assert np.isfinite(encoded.thumbnail).all()


def test_percentiles_of_a_few_sparse_points():
    """None of them is on the grid of pixels that is looked at in a picture with dense depth."""
    depth = np.zeros((400, 400), np.float32)
    depth[1, 1::4] = np.linspace(1, 2, 100)
    frame = raw_frame(400, 400, depth=depth)
    encoded = encode_frame(frame, planned(frame), 0, EngineSettings())
    np.testing.assert_allclose(
        encoded.row["frame.depth_percentiles"][1] / encoded.row["frame.depth_range"][1], 1.9 / 2, rtol=1e-3
    )


def test_never_upsampled():
    assert stored_size(100, 200, False, 1024) == (100, 200)
    np.testing.assert_array_equal(resample_layer(np.arange(6)[None], 1, 3), [[1, 3, 5]])
    np.testing.assert_array_equal(resample_layer(np.arange(6)[:, None], 3, 1), [[1], [3], [5]])


def test_masks_are_kept():
    sky = np.zeros((100, 200), bool)
    sky[:20] = True
    thing = np.zeros((100, 200), bool)
    thing[40:60, 50:90] = True
    frame = raw_frame(depth=np.full((100, 200), 2.0, np.float32), sky=sky, dynamic=sky, object=thing)
    encoded = encode_frame(frame, planned(frame), 0, EngineSettings())
    codes = read_codes(encoded.parts["depth"][1], (100, 200))
    depth = decode_depth(codes, *encoded.row["frame.depth_range"])
    np.testing.assert_array_equal(codes == SKY, sky)
    np.testing.assert_array_equal(depth > 0, ~sky)
    assert (encoded.parts["dynamic"][0], encoded.parts["object"][0]) == ("dynamic.png", "object.png")
    for part, mask in (("dynamic", sky), ("object", thing)):
        np.testing.assert_array_equal(read_png(encoded.parts[part][1]), 255 * mask)


def test_unit_without_depth_and_without_motion():
    assert planned(*[raw_frame(offset=3.0 * k) for k in range(4)]).unit_source == UNIT_FROM_CAMERAS
    assert planned(*[raw_frame(offset=3.0 * k) for k in range(4)]).unit == 3.0
    assert planned(raw_frame(), raw_frame()).unit_source == UNIT_IS_ONE


def altered(frame, **changes):
    camera = RawCamera(
        changes.pop("intrinsics", frame.camera.intrinsics), changes.pop("pose", frame.camera.cam_to_world)
    )
    return RawFrame(camera, changes.pop("image", frame.image), **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pose": np.full((4, 4), np.nan)}, "pose holds nan, expected finite"),
        ({"pose": np.diag((1.0, 1, 1.01, 1))}, "orthonormal only to 0.02, expected 0.001"),
        ({"pose": np.diag((1.2, 1.2, 1.2, 1))}, "pose is a rotation times 1.2, expected a rotation and a translation"),
        ({"pose": np.eye(4) + 1e308 * np.eye(4, k=3)}, "pose holds 1e\\+308, expected at most 1e\\+12"),
        ({"pose": np.diag((1.0, 1, -1, 1))}, "determinant -1.000, expected \\+1"),
        ({"intrinsics": np.diag((0.0, 1, 1))}, "focal lengths 0, 1 do not fit"),
        ({"intrinsics": np.array(((150.0, 2, 99), (0, 150, 50), (0, 0, 1)))}, "skewed by 2"),
        ({"intrinsics": np.array(((150.0, 0, 300), (0, 150, 50), (0, 0, 1)))}, "principal point 300, 50 is outside"),
        ({"depth": np.ones((50, 100), np.float32)}, "depth is 100x50, the picture is 200x100"),
        ({"image": np.zeros((90, 200, 3), np.uint8)}, "picture is 200x90, the pictures of this scene are 200x100"),
    ],
)
def test_each_bad_frame_has_its_reason(changes, reason):
    good = raw_frame()
    with pytest.raises(RawFault, match=reason):
        encode_frame(altered(good, **changes), planned(good, good), 0, EngineSettings())


def test_poses_with_few_digits_become_exact_rotations():
    pose = np.eye(4)
    pose[:3, :3] = np.round([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]], 4) + 1e-4
    frame = altered(raw_frame(), pose=pose)
    stored = encode_frame(frame, planned(raw_frame()), 0, EngineSettings()).row["frame.world_to_cam"]
    assert cameras.rotation_error(stored[:, :3]) < 1e-14


# Neighbours.


def test_neighbours_agree_with_warping_pixel_by_pixel(dataset):
    index = ShardIndex.open(dataset)
    views = SceneViews(
        index["frame.world_to_cam"][:],
        index["frame.intrinsics"][:],
        index["frame.size"][:],
        [FrameReader(index).depth(row)[0][::6, ::6] for row in range(FRAMES)],
    )
    neighbours, overlap = find_neighbours(views)
    for source in range(FRAMES):
        found = dict(zip(neighbours[source].tolist(), overlap[source].tolist(), strict=True))
        for target in range(FRAMES):
            if source != target:
                assert found.get(target, 0) == round(255 * slow_overlap(views, source, target))
    assert np.all(np.diff(overlap.astype(int), axis=1) <= 0)


def slow_overlap(views, source, target) -> float:
    """Share of the source's valid pixels that the target sees, one pixel at a time, with 4x4 matrices."""
    matrices = [np.vstack((views.world_to_cam[k], (0, 0, 0, 1))) for k in (source, target)]
    relative = matrices[1] @ np.linalg.inv(matrices[0])
    seen = total = 0
    shape = views.thumbnails[source].shape
    scale = np.array(shape[::-1]) / views.sizes[source][::-1]
    focal, centre = views.intrinsics[source][:2] * scale, views.intrinsics[source][2:] * scale
    for row, column in np.argwhere(views.thumbnails[source] > 0):
        depth = float(views.thumbnails[source][row, column])
        ray = (np.array((column + 0.5, row + 0.5)) - centre) / focal
        x, y, z, _ = relative @ (*(ray * depth), depth, 1.0)
        u, v = np.floor(np.array((x, y)) / z * focal + centre).astype(int)
        total += 1
        if 0 <= u < shape[1] and 0 <= v < shape[0]:
            seen += abs(views.thumbnails[target][v, u] - z) <= 0.1 * z
    return seen / total


@pytest.mark.parametrize("known", [0.16, 0.02])
def test_scattered_depth_keeps_its_neighbors(known):
    """Two images of 640x480 of a room: the overlap is close to that of dense depth, however few pixels are known."""
    dense, thin = (overlap_in_a_room(share) for share in (1.0, known))
    assert dense > 0.6
    assert abs(thin - dense) < 0.06


def overlap_in_a_room(known):
    """Share of the first image that the second one sees, if this share of their pixels is known."""
    random, room, matrix = np.random.default_rng(0), Room(), pinhole(500.0, 320.0, 240.0)
    frames = []
    for place in (0, 5):
        view = room.see(room.pose(place), matrix, 480, 640)
        depth = np.where(random.random(view.depth.shape) < known, view.depth, 0).astype(np.float32)
        frames.append(RawFrame(RawCamera(matrix, room.pose(place)), view.image, depth=depth))
    scene = planned(*frames)
    encoded = [encode_frame(frame, scene, place, EngineSettings()) for place, frame in enumerate(frames)]
    columns = [np.stack([e.row[f"frame.{name}"] for e in encoded]) for name in ("world_to_cam", "intrinsics", "size")]
    _, overlap = find_neighbours(SceneViews(*columns, [e.thumbnail for e in encoded]))
    return float(overlap[0, 0]) / 255


def test_thumbnails_of_depth_with_holes_are_samples_bit_for_bit():
    depth = np.random.default_rng(0).uniform(1, 2, (480, 640)).astype(np.float32)
    depth[:200, :300] = 0
    frame = raw_frame(480, 640, depth=depth)
    scene = planned(frame)
    thumbnail = encode_frame(frame, scene, 0, EngineSettings()).thumbnail
    np.testing.assert_array_equal(thumbnail, (depth / np.float32(scene.unit))[8::16, 8::16].astype(np.float16))


def test_frames_that_look_away_from_each_other_are_no_neighbours():
    back = np.diag((-1.0, 1, -1))
    poses = np.stack([np.column_stack((turn, np.zeros(3))) for turn in (np.eye(3), back)])
    views = SceneViews(
        poses, np.array([[40.0, 40, 20, 15]] * 2), np.array([[30, 40]] * 2), [np.ones((30, 40), np.float32)] * 2
    )
    assert (find_neighbours(views)[0] == -1).all()


def test_neighbours_without_depth_come_from_directions():
    poses = np.repeat(np.eye(4)[None, :3], 3, axis=0)
    empty = [np.zeros((30, 40), np.float32)] * 3
    neighbours, overlap = find_neighbours(
        SceneViews(poses, np.array([[40.0, 40, 20, 15]] * 3), np.array([[30, 40]] * 3), empty)
    )
    assert neighbours[0, :3].tolist() == [1, 2, -1]
    assert overlap[0, :2].tolist() == [255, 255]
