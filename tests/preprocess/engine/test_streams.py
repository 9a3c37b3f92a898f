"""Scenes of several streams, and of images of several sizes, become shards; one stream and one size change nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from changed_reader import Changed
from streamed_reader import Streamed

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import NUMBER_COLUMNS, ShardIndex
from zipmap_pl.datasets.inspection.contact_sheet import contact_sheet
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.encode import encode_frame
from zipmap_pl.preprocess.engine.plan import plan_scene
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.saved_plan import load_plan
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.engine.streams import check_streams, first_frames, with_every_stream
from zipmap_pl.preprocess.raw import RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

OLD = Path(__file__).parents[2] / "data" / "before_rooms" / "shards"
STREAMS = (("tall", 5), ("small", 7))
SETTINGS = EngineSettings(frames_per_shard=4, lossless=True)


@pytest.fixture(scope="module")
def plain(toys, tmp_path_factory):
    """Twelve frames of 48 x 36."""
    return RgbdFolder(toys.write_sequence(tmp_path_factory.mktemp("raw") / "walk", 12), RgbdOptions("toy"))


@pytest.fixture(scope="module")
def of_streams(plain, tmp_path_factory):
    output = tmp_path_factory.mktemp("streams") / "toy"
    assert preprocess(Streamed(plain, STREAMS), output, SETTINGS, workers=1).faults == ()
    return output


@pytest.fixture(scope="module")
def of_any_size(plain, tmp_path_factory):
    output = tmp_path_factory.mktemp("any") / "toy"
    assert preprocess(Streamed(plain, STREAMS, "any"), output, SETTINGS, workers=1).faults == ()
    return output


def test_each_stream_keeps_its_size_and_is_told_apart(of_streams):
    index = ShardIndex.open(of_streams)
    assert index["frame.stream"].tolist() == [0] * 5 + [1] * 7
    assert index["frame.size"].tolist() == [[36, 48]] * 5 + [[18, 24]] * 7
    reader = FrameReader(index)
    cameras = [json.loads(reader.part(row, "camera")) for row in range(12)]
    assert [camera["stream"] for camera in cameras] == ["tall"] * 5 + ["small"] * 7
    assert reader.read(0).image.shape == (36, 48, 3) and reader.read(11).image.shape == (18, 24, 3)
    assert verify(of_streams) == []


def test_images_may_be_of_any_size(of_any_size):
    index = ShardIndex.open(of_any_size)
    assert {tuple(size) for size in index["frame.size"].tolist()} == {(36, 48), (18, 24), (12, 16)}
    assert [FrameReader(index).read(row).image.shape[:2] for row in range(12)] == list(map(tuple, index["frame.size"]))
    assert verify(of_any_size) == []


@pytest.mark.parametrize("folder", ["of_streams", "of_any_size"])
def test_neighbours_and_the_check_of_the_scene_do_not_care_about_streams_and_sizes(folder, request, capsys):
    index = ShardIndex.open(request.getfixturevalue(folder))
    neighbours = [set(row[row >= 0].tolist()) for row in index["frame.neighbours"]]
    assert all(found & set(range(5)) and found & set(range(5, 12)) for found in neighbours)
    assert index["scene.agreement_good"][0] > 0.95
    assert contact_sheet(index.folder).ndim == 3
    assert main(["shards", "info", str(index.folder)]) == 0
    assert "DISAGREE" not in capsys.readouterr().out


@pytest.mark.parametrize("sizes", ["one", "of streams"])
def test_an_image_of_another_size_than_its_stream_or_scene_is_a_fault(plain, tmp_path, sizes):
    if sizes == "one":
        odd = Streamed(plain, STREAMS, "any")
        odd = replace(odd, streams=(("all", 12),))  # every third is smaller
    else:
        odd = Streamed(plain, (("tall", 4), ("small", 4), ("tall again", 4)))
    listed = replace(odd.scenes()[0], streams=STREAMS, sizes=sizes)
    scene = plan_scene(odd, listed, 0, 0)
    faulty = []
    for ordinal, name in enumerate(listed.frames):
        try:
            encode_frame(odd.frame(odd.scenes()[0], name), scene, ordinal, SETTINGS)
        except RawFault as fault:
            assert "pictures of this scene are" in fault.reason
            faulty.append(ordinal)
    assert faulty == ([2, 5, 8, 11] if sizes == "one" else [4, 5, 6, 7])


def test_parts_of_scenes_with_streams_write_the_same_bytes(toys, plain, of_streams, tmp_path):
    for part in ((2, 2), (1, 2)):
        preprocess(Streamed(plain, STREAMS), tmp_path, SETTINGS, workers=1, part=part)
    assert toys.tree(tmp_path) == toys.tree(of_streams)


def test_a_scene_that_is_planned_anew_keeps_its_streams(plain, of_streams):
    (scene,) = load_plan(of_streams).scenes
    assert scene.raw == Streamed(plain, STREAMS).scenes()[0]
    assert (scene.size, scene.stream_sizes) == (None, ((36, 48), (18, 24)))


def test_one_stream_and_one_size_leave_no_trace_in_plan_and_shards(toys, plain, tmp_path):
    preprocess(plain, tmp_path / "plain", SETTINGS, workers=1)
    preprocess(Streamed(plain, (), "one"), tmp_path / "streamed", SETTINGS, workers=1)
    assert toys.tree(tmp_path / "streamed") == toys.tree(tmp_path / "plain")
    assert not {"streams", "sizes", "stream_sizes"} & load_plan(tmp_path / "plain").scenes[0].written().keys()


def test_a_short_stream_is_looked_at_for_its_size():
    assert with_every_stream([0, 50, 99], (("a", 48), ("b", 1), ("c", 51)), 100) == [0, 48, 50, 99]
    assert with_every_stream([0, 50, 99], (), 100) == [0, 50, 99]


def without_depth(frame: RawFrame) -> RawFrame:
    return replace(frame, depth=None)


@pytest.mark.parametrize("streams", [(), (("a", 2), ("b", 7), ("c", 3))])
def test_a_check_before_the_night_reads_the_first_frames_of_every_stream(plain, streams):
    (scene,) = Streamed(plain, streams, "any").scenes()
    first = first_frames(scene, 6)
    check_streams(first)
    places = [scene.frames.index(name) for name in first.frames]
    assert places == (list(range(6)) if not streams else [0, 1, 2, 3, 9, 10])


def test_steps_from_one_stream_to_the_next_are_no_motion(toys, tmp_path):
    """Neither for the unit of a scene without depth nor for the largest step: another sequence may start anywhere."""
    raw = toys.write_sequence(tmp_path / "raw", 8)
    for place in range(4, 8):
        pose = toys.pose(place)
        pose[:3, 3] += 100
        np.savetxt(raw / f"frame-{place:06d}.pose.txt", pose, fmt="%.17g")
    reader = Changed(RgbdFolder(raw, RgbdOptions("toy")), without_depth)
    for name, streams in (("one", ()), ("two", (("a", 4), ("b", 4)))):
        preprocess(Streamed(reader, streams, "any"), tmp_path / name, SETTINGS, workers=1)
    one, two = (ShardIndex.open(tmp_path / name) for name in ("one", "two"))
    assert one["scene.largest_step"][0] > 1000
    assert two["scene.largest_step"][0] == pytest.approx(1, rel=1e-4)
    assert two["scene.unit"][0] == pytest.approx(np.linalg.norm((0.05, -0.01, 0.02)))


@pytest.mark.parametrize(
    ("streams", "sizes", "told"),
    [
        ((("a", 2),), "one", "2 frames in streams, 3 in all"),
        ((("a", 3), ("b", 0)), "one", "expected 1 or more"),
        ((("a", 2), ("a", 1)), "one", "expected different names"),
        ((), "of streams", "it has none"),
        ((), "many", "expected one of one, of streams, any"),
    ],
)
def test_streams_that_make_no_sense_are_the_readers_mistake(streams, sizes, told):
    with pytest.raises(UserError, match=f"scene 's': the reader lists .*{told}"):
        check_streams(RawScene("s", "train", ("0", "1", "2"), streams=streams, sizes=sizes))


# Shards of schema 3


def test_finish_upgrades_the_index_of_schema_3_and_nothing_else(tmp_path):
    folder = Path(shutil.copytree(OLD, tmp_path / "old"))
    before = ShardIndex.open(folder)
    assert before.info["schema_version"] == 3 and before["frame.stream"].tolist() == [0] * 16
    old = {name: np.array(column) for name, column in before.columns.items()}
    assert main(["shards", "finish", str(folder)]) == 0
    after = ShardIndex.open(folder)
    assert after.info["schema_version"] == 4 and (folder / "index/frame.stream.npy").is_file()
    for name in (name for name in NUMBER_COLUMNS if "agreement" not in name):  # what is told follows the rules of today
        np.testing.assert_array_equal(after[name], old[name], err_msg=name)
    for file in [*OLD.glob("*/*.tar"), *OLD.glob("sidecars/*/*"), OLD / "plan/plan.jsonl"]:
        assert (folder / file.relative_to(OLD)).read_bytes() == file.read_bytes()
    assert verify(folder) == []
