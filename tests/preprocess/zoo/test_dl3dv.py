"""What is DL3DV's own: where depth is merged from, which pictures are taken, the split test, scenes without depth."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from miniatures.zoo.dl3dv import BENCHMARK, BENT, DENSE, ZIPPED, write, write_with_depth
from readers import reader_of

from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.schema import UNIT_FROM_CAMERAS, UNIT_FROM_DEPTH
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings

SETTINGS = EngineSettings(frames_per_shard=8, lossless=True, max_fault_share=1.0)


@pytest.fixture
def downloaded(tmp_path):
    write(tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def with_depth(tmp_path):
    write_with_depth(tmp_path / "raw")
    return tmp_path / "raw"


def reader(raw, *options):
    return reader_of("dl3dv", raw, *options)


def scene_of(reader, name):
    return next(scene for scene in reader.scenes() if scene.name == name)


def test_without_depth_the_unit_is_a_step_of_the_camera_and_neighbours_are_those_that_look_the_same_way(
    downloaded, tmp_path
):
    preprocess(reader(downloaded), tmp_path / "out", SETTINGS, workers=1)
    index = ShardIndex.open(tmp_path / "out")
    scene = next(k for k in range(index.scene_count) if index.text("scene.name", k) == BENT)
    read = FrameReader(index)
    frames = [read.read(row) for row in index.scene_rows(scene)]
    assert index["scene.unit_source"][scene] == UNIT_FROM_CAMERAS
    assert np.isnan(index["scene.metres_per_unit"][scene])
    centres = np.array([-frame.world_to_cam[:, :3].T @ frame.world_to_cam[:, 3] for frame in frames])
    assert np.median(np.linalg.norm(np.diff(centres, axis=0), axis=1)) == pytest.approx(1)
    assert not any((frame.depth > 0).any() or frame.sky.any() for frame in frames)
    rows = index.scene_rows(scene)
    assert (index["frame.neighbours"][rows[0] : rows[-1] + 1, 0] >= 0).all()


def test_depth_beside_the_pictures_and_depth_from_another_folder_are_the_same(with_depth, tmp_path):
    beside, apart = reader(with_depth), reader(with_depth / "pictures", "--depth", with_depth / "computed")
    found = [which.frame(scene_of(which, BENT), "frame_00002").depth for which in (beside, apart)]
    np.testing.assert_array_equal(*found)
    assert beside.settings() != apart.settings()
    preprocess(beside, tmp_path / "out", SETTINGS, workers=1)
    assert set(ShardIndex.open(tmp_path / "out")["scene.unit_source"]) == {UNIT_FROM_DEPTH}
    with pytest.raises(UserError, match=r"reader.depth: false there, true now"):
        preprocess(apart, tmp_path / "out", SETTINGS, workers=1)


def test_a_scene_without_depth_is_told_and_keeps_its_cameras(with_depth, caplog):
    apart = reader(with_depth / "pictures", "--depth", with_depth / "computed")
    scene = scene_of(apart, ZIPPED)
    assert "1 of 2 scenes are without depth, which the published losses need" in caplog.text
    assert [(out.file, out.reason) for out in scene.left_out] == [
        (str(with_depth / "computed" / ZIPPED), "no depth; the scene is written without")
    ]
    assert apart.frame(scene, scene.frames[0]).depth is None


def test_a_folder_of_depth_without_depth(downloaded, tmp_path):
    (tmp_path / "depth" / BENT / "dense" / "depth").mkdir(parents=True)
    with pytest.raises(UserError, match=f"no depth of any scene in it; expected folders like {BENT}/depth"):
        reader(downloaded, "--depth", tmp_path / "depth").scenes()
    with pytest.raises(UserError, match="nowhere: no such folder"):
        reader(downloaded, "--depth", tmp_path / "nowhere").scenes()


def test_folders_of_depth_alone_are_no_scenes(with_depth, tmp_path):
    shutil.move(with_depth / "computed" / BENT, with_depth / "computed" / "6K" / ("6f" * 32))
    assert [scene.name for scene in reader(with_depth).scenes()] == [BENT, ZIPPED, DENSE]


def test_where_both_are_there_the_dense_release_is_taken_with_its_own_depth(with_depth):
    dense = with_depth / "processed_dl3dv" / BENT / "dense"
    shutil.copytree(with_depth / "processed_dl3dv" / DENSE / "dense", dense)
    both = reader(with_depth)
    scene = scene_of(both, BENT)
    frame = both.frame(scene, "frame_00012")
    assert frame.image.shape[:2] == frame.depth.shape == (50, 88) and frame.camera.distortion == ()
    assert [(out.file, out.reason) for out in scene.left_out] == [
        (str(with_depth / "pictures" / BENT), f"found twice; {dense} is used")
    ]


def test_what_has_depth_is_taken_and_depth_of_other_pictures_is_not(with_depth):
    dense = with_depth / "processed_dl3dv" / BENT / "dense"
    shutil.copytree(with_depth / "processed_dl3dv" / DENSE / "dense", dense)
    shutil.rmtree(dense / "depth")
    both = reader(with_depth)
    frame = both.frame(scene_of(both, BENT), "frame_00002")
    assert frame.image.shape[:2] == frame.depth.shape == (72, 128)
    shutil.rmtree(with_depth / "pictures" / BENT)
    dense_only = reader(with_depth.rename(with_depth.with_name("dense_only")))
    assert dense_only.frame(scene_of(dense_only, BENT), "frame_00012").depth is None


def test_the_dense_release_in_a_zip_is_told(downloaded):
    archive = downloaded / "7K" / f"{'7a' * 32}.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(f"{archive.stem}/dense/rgb/frame_00001.png", b"")
    scene = scene_of(reader(downloaded), f"7K/{'7a' * 32}")
    assert not scene.frames
    assert [out.reason for out in scene.left_out] == ["is in a zip; the dense release is read from folders only"]


def test_scenes_for_testing_are_those_of_the_list(downloaded, tmp_path):
    listed = tmp_path / "benchmark-meta.csv"
    listed.write_text(f"hash,batch\n{BENT[3:]},1K\n{'0' * 64},9K\n")
    some = reader(downloaded, "--test", listed)
    assert {scene.name: scene.split for scene in some.scenes() if scene.frames} == {
        BENT: "test",
        ZIPPED: "train",
        BENCHMARK: "train",
    }
    assert some.settings()["test"] != reader(downloaded).settings()["test"]
    listed.write_text("nothing")
    with pytest.raises(UserError, match="no hash of 64 digits in it"):
        reader(downloaded, "--test", listed)
    with pytest.raises(UserError, match="--test .*missing; expected a text with hashes"):
        reader(downloaded, "--test", tmp_path / "nowhere")


def test_without_a_list_it_is_said_that_the_benchmark_is_trained_on(downloaded, caplog):
    reader(downloaded).scenes()
    assert "the scenes of the published benchmark are among those for training" in caplog.text


def test_frames_are_in_the_order_of_their_numbers(downloaded):
    file = downloaded / BENT / "transforms.json"
    values = json.loads(file.read_text())
    for place, entry in enumerate(values["frames"]):
        entry["file_path"] = f"./images/clip_{place + 4}.png"
    file.write_text(json.dumps(values))
    assert scene_of(reader(downloaded), BENT).frames == tuple(f"clip_{k}" for k in range(4, 13))


def test_a_lens_without_distortion_and_a_camera_of_another_resolution(downloaded):
    here = reader(downloaded)
    scene = scene_of(here, ZIPPED)
    camera = here.camera(scene, scene.frames[0])
    assert not any(camera.distortion)
    np.testing.assert_allclose(camera.intrinsics, here.frame(scene, scene.frames[0]).camera.intrinsics)


def test_nothing_to_read(tmp_path):
    (tmp_path / "1K").mkdir()
    (tmp_path / "1K" / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(UserError, match=r"no scene <subset>/<hash> .* \(.*a.zip: unreadable zip"):
        reader(tmp_path).scenes()
