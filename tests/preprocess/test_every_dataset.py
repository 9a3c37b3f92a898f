"""The suite that every dataset passes: its miniature becomes shards, and comes back; whatever is damaged is told.

A dataset enters by its file in tests/support/miniatures/zoo; docs/adding-a-dataset.md shows the way. `make test` runs what
fits into 12 s of CPU per dataset on average; further damages, mistakes and kills run in `make test-long`.
"""

import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from changed_reader import Changed
from miniatures.found import all_miniatures
from readers import reader_of

import zipmap_pl.conf
from zipmap_pl.cli.main import main
from zipmap_pl.cli.preprocess import report_text
from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import scene_agreement
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.images.decode import read_image
from zipmap_pl.preprocess.engine.mistakes import MISTAKES
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings

SETTINGS = EngineSettings(frames_per_shard=5, lossless=True, max_fault_share=1.0)
GOLDEN = Path(__file__).with_name("golden")
MINIATURES = all_miniatures()
DAMAGES = [
    pytest.param(
        miniature, damage, id=f"{miniature.id}: {damage.kind}", marks=[pytest.mark.long] if damage.rare else []
    )
    for miniature in MINIATURES
    for damage in miniature.damages
]


@pytest.fixture(autouse=True, scope="module")
def no_power_cuts():
    """Half of the time of so many small runs is waiting for the disk; tests/preprocess/engine/test_engine.py waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def workers_start_imported():
    """The server that workers are forked from imports preprocessing once, not every worker of every dataset anew."""
    readers = sorted({f"zipmap_pl.preprocess.zoo.{miniature.name}" for miniature in MINIATURES})
    multiprocessing.set_forkserver_preload(["__main__", "zipmap_pl.preprocess.engine.run", *readers])
    yield
    multiprocessing.set_forkserver_preload(["__main__"])


@pytest.fixture(scope="module", params=MINIATURES, ids=lambda miniature: miniature.id)
def prepared(request, toys, tmp_path_factory):
    """Miniature, raw folder, truth, and its shards."""
    return Prepared(request.param, tmp_path_factory.mktemp(request.param.id), toys)


class Prepared:
    def __init__(self, miniature, folder, toys):
        self.miniature, self.raw, output = miniature, folder / "raw", folder / "out"
        self.raw.mkdir()
        self.truth = miniature.write(self.raw)
        self.reader = reader_of(miniature.name, self.raw, *miniature.options)
        self.report = preprocess(self.reader, output, SETTINGS, workers=1)
        self.index = ShardIndex.open(output)
        self.tree = toys.tree(output)


# What comes back.


def test_scenes_splits_and_frames_are_there_in_order(prepared):
    assert verify(prepared.index.folder) == []
    check_faults(prepared.raw, prepared.index, prepared.miniature.already_lost)
    check_against_truth(prepared.index, prepared.truth, prepared.miniature, with_pictures=True)


def test_the_unit_in_metres(prepared):
    index, metres = prepared.index, prepared.miniature.metres_per_raw_unit
    expected = np.nan if metres is None else metres * index["scene.unit"]
    np.testing.assert_allclose(index["scene.metres_per_unit"], np.broadcast_to(expected, index.scene_count))


def test_depth_carried_into_another_frame_agrees(prepared):
    if prepared.miniature.agreement is None:
        pytest.skip("has no depth")
    for scene in range(prepared.index.scene_count):
        agreement = scene_agreement(prepared.index, scene, step=1)
        assert agreement.good_share > prepared.miniature.agreement, prepared.truth[scene].name
        assert agreement.median_relative < 0.01


def test_numbers_that_were_once_right_have_not_moved(prepared):
    """A change to the engine, a reader or the format that alters every dataset a little is seen here."""
    file, key = GOLDEN / f"{prepared.miniature.name}.json", prepared.miniature.id
    golden = json.loads(file.read_text()) if file.exists() else {}
    found = fingerprint_of(prepared.index)
    assert key in golden, f"if the tests above pass, put into {file}: {json.dumps({key: found})}"
    expected = golden[key]
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def fingerprint_of(index):
    """A few numbers in which every frame, pixel and camera of a dataset has a part."""
    reader, rows = FrameReader(index), range(index.frame_count)
    names = "".join([index.text("frame.name", row) for row in rows]) + "".join(index.info["splits"])
    pictures = [read_image(reader.part(row, "image")).astype(np.float64) for row in rows]
    depths = [np.log(depth[depth > 0]) for depth in (reader.depth(row)[0] for row in rows)]
    known = np.concatenate([[0.0], *depths])
    weights = np.arange(1, index.frame_count + 1) / index.frame_count  # so that order matters
    return {
        "frames": [index.frame_count, index.scene_count, sum(map(ord, names))],
        "pictures": [float(weights @ [p.mean() for p in pictures]), float(weights @ [p.std() for p in pictures])],
        "depth": [known.size, float(known.mean()), float(known.std())],
        "intrinsics": (weights @ index["frame.intrinsics"]).tolist(),
        "poses": (weights @ index["frame.world_to_cam"].reshape(-1, 12)).tolist(),
        "units": [float(np.sum(index["scene.unit"])), float(np.nansum(index["scene.metres_per_unit"]))],
    }


def test_what_the_dataset_says_of_itself(prepared):
    info = prepared.index.info
    assert len(info["licence"]) > 10
    assert (info["kind"] in ("static", "dynamic")) and info["source"] in ("real", "synthetic")
    assert (info["slug"], info["metres_per_raw_unit"]) == (
        prepared.miniature.name.replace("_", "-"),
        prepared.miniature.metres_per_raw_unit,
    )


def test_its_settings_for_training(prepared):
    name = prepared.miniature.name
    text = (importlib.resources.files(zipmap_pl.conf) / f"data/zoo/{name}.yaml").read_text()
    assert text.startswith(f"# @package data.train.{name}\n")
    config = DatasetConfig(**yaml.safe_load(text))
    assert config.path == f"${{data.shards}}/{name}"
    assert config.split in prepared.index.splits


def test_the_command_line(prepared, toys, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "out"), "--workers", "1", "--frames-per-shard", "5", "--lossless"]
    options = [*prepared.miniature.options, *arguments, "--max-fault-share", "1"]
    assert main(["preprocess", prepared.miniature.name, str(prepared.raw), *options]) == 0
    assert toys.tree(tmp_path / "out") == prepared.tree
    assert (
        main(["preprocess", prepared.miniature.name, str(tmp_path / "nowhere"), "--output", str(tmp_path / "n")]) == 2
    )
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"{tmp_path / 'nowhere'}: no such folder" in message


# A convention that was misunderstood is seen while the first scene is written.


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_misunderstood_convention_is_told(prepared, mistake, tmp_path, capsys, caplog):
    if prepared.miniature.agreement is None:
        pytest.skip("has no depth")
    report = preprocess(Changed(prepared.reader, mistake.made_in), tmp_path, SETTINGS, workers=1)
    assert len(report.disagreeing) >= 0.5 * len(prepared.truth)
    assert report.disagreeing[0] in caplog.text and caplog.text.count("DISAGREE") == 1
    assert "DISAGREEMENT of depth and cameras" in report_text(report)
    assert main(["shards", "info", str(tmp_path)]) == 0
    assert " - DISAGREES\n" in capsys.readouterr().out


def test_what_is_understood_is_not_suspected(prepared, capsys, caplog):
    assert prepared.report.disagreeing == ()
    assert main(["shards", "info", str(prepared.index.folder)]) == 0
    text = capsys.readouterr().out
    assert "DISAGREE" not in text
    for scene in prepared.truth:
        assert re.search(rf"{re.escape(scene.name)}: \d+ frames, .*steps up to \d+\.\d times", text)


# The same bytes, whatever happens on the way.


def test_two_workers_write_the_same_bytes(prepared, toys, tmp_path):
    preprocess(prepared.reader, tmp_path, SETTINGS, workers=2)
    assert toys.tree(tmp_path) == prepared.tree


def test_parts_in_another_order_write_the_same_bytes(prepared, toys, tmp_path):
    for part in (2, 3, 1):
        report = preprocess(prepared.reader, tmp_path, SETTINGS, workers=1, part=(part, 3))
    assert report.complete
    assert toys.tree(tmp_path) == prepared.tree


def test_another_order_of_the_file_system_writes_the_same_bytes(prepared, toys, tmp_path, monkeypatch):
    """The raw tree is written anew, and listed the other way round."""
    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "listdir", lambda *a: listdir(*a)[::-1])
    monkeypatch.setattr(os, "scandir", lambda *a: Reversed(scandir(*a)))
    raw = tmp_path / "raw"
    raw.mkdir()
    prepared.miniature.write(raw)
    reader = reader_of(prepared.miniature.name, raw, *prepared.miniature.options)
    preprocess(reader, tmp_path / "out", SETTINGS, workers=1)
    assert {name: data for name, data in toys.tree(tmp_path / "out").items() if name.endswith((".tar", "npy"))} == {
        name: data for name, data in prepared.tree.items() if name.endswith((".tar", "npy"))
    }


class Reversed:
    """Folder entries the other way round."""

    def __init__(self, entries):
        self.entries = iter(list(entries)[::-1])

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass


def test_killed_and_resumed_the_bytes_are_the_same(prepared, toys, tmp_path):
    check_kills(prepared, toys, tmp_path, kills=3)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_and_resumed_often_the_bytes_are_the_same(prepared, toys, tmp_path):
    check_kills(prepared, toys, tmp_path, kills=40, most_workers=2)


def check_kills(prepared, toys, folder, kills, most_workers=1):
    """Kill -9 at random file operations of a run, go on (with another part first), compare."""
    draws = random.Random(prepared.miniature.name)
    total = operations(prepared.reader, folder / "counted", None)
    assert toys.tree(folder / "counted") == prepared.tree
    for moment in sorted(draws.sample(range(total), kills)):
        output = folder / str(moment)
        assert operations(prepared.reader, output, moment) == -1, f"was not killed at file operation {moment}"
        for tar in output.rglob("*.tar"):
            assert tar.read_bytes() == prepared.tree[str(tar.relative_to(output))]
        preprocess(prepared.reader, output, SETTINGS, workers=1, part=(draws.randint(1, 2), 2))
        preprocess(prepared.reader, output, SETTINGS, workers=draws.randint(1, most_workers))
        assert toys.tree(output) == prepared.tree, f"killed at file operation {moment}"


def operations(reader, output, dies_at):
    """Run in a forked child that kills itself at a file operation (None = never); their number, or -1 if killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        done = 0
        real = {name: getattr(os, name) for name in ("open", "fsync", "replace", "write")}

        def counted(name):
            def call(*args, **kwargs):
                nonlocal done
                if done == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                done += 1
                return real[name](*args, **kwargs)

            return call

        try:
            for name in ("open", "fsync", "replace"):
                setattr(os, name, counted(name))
            preprocess(reader, output, SETTINGS, workers=1)
            real["write"](write, str(done).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return int(text) if status == 0 else -1


# Damage.


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory):
    """The raw folder and truth of a miniature, written once."""
    written = {}

    def get(miniature):
        if miniature.id not in written:
            raw = tmp_path_factory.mktemp(miniature.id)
            written[miniature.id] = raw, miniature.write(raw)
        return written[miniature.id]

    return get


@pytest.mark.parametrize(("miniature", "damage"), DAMAGES)
def test_damage_is_told_once_and_the_rest_is_there(miniature, damage, undamaged, tmp_path):
    raw, output = tmp_path / "raw", tmp_path / "out"
    whole, truth = undamaged(miniature)
    shutil.copytree(whole, raw)
    expected = damage.harm(raw)
    report = preprocess(reader_of(miniature.name, raw, *miniature.options), output, SETTINGS, workers=1)
    assert report.complete
    index = ShardIndex.open(output)
    assert verify(output) == []
    check_faults(raw, index, [*miniature.already_lost, *expected])
    lost = {(e.scene, frame) for e in expected for frame in e.lost}
    lost |= {(s.name, f.name) for e in expected for s in truth if s.name in e.lost_scenes for f in s.frames}
    check_against_truth(index, truth, miniature, lost)


@pytest.mark.parametrize("miniature", MINIATURES, ids=lambda miniature: miniature.id)
def test_ten_kinds_of_damage_are_shown_every_time(miniature):
    kinds, rare = ([d.kind for d in miniature.damages if d.rare == seldom] for seldom in (False, True))
    assert len(kinds) >= 10, kinds
    assert len({*kinds, *rare}) == len(kinds) + len(rare), "a kind is there twice"


# How it is compared.


def check_faults(raw, index, expected):
    """Every expected fault is named once, nothing else is, and the numbers add up."""
    check_passed_over(index, [wanted for wanted in expected if wanted.usual])
    named = {}
    for fault in index.info["faults"] + index.info["left_out"]:
        named.setdefault((fault["scene"], fault["file"], fault["reason"]), []).append(fault["frame"])
    counts = index.info["counts"]
    assert counts["frames_planned"] == counts["frames"] + counts["faults"] + counts.get("passed_over", 0)
    assert counts["frames"] == index.frame_count
    for wanted in (wanted for wanted in expected if not wanted.usual):
        fitting = [
            key
            for key in named
            if key[0] == wanted.scene and key[1].endswith(wanted.file) and re.search(wanted.reason, key[2])
        ]
        assert len(fitting) == 1, f"{wanted} should be named once, named are {named}"
        assert set(named.pop(fitting[0])) <= {"", *wanted.lost}
    assert not named, f"nobody expected {named}"


def check_passed_over(index, expected):
    """What is usual is passed over for its reason, and nothing else is: damage never."""
    found = {
        (scene, frame, reason)
        for reason, scenes in index.info.get("passed_over", {}).items()
        for scene, frames in scenes.items()
        for frame in frames
    }
    assert len(found) == index.info["counts"].get("passed_over", 0)
    for wanted in expected:
        fitting = {f for f in found if f[0] == wanted.scene and f[1] in wanted.lost and re.search(wanted.reason, f[2])}
        assert fitting, f"{wanted} should be passed over, that are {found}"
        found -= fitting
    assert not found, f"nobody expected to pass over {found}"


def check_against_truth(index, truth, miniature, lost=(), with_pictures=False):
    """All frames but the lost ones are there, in order, with their cameras, depths and masks (and pictures)."""
    kept = [(scene, [f for f in scene.frames if (scene.name, f.name) not in lost]) for scene in truth]
    planned = {index.text("scene.name", k): k for k in range(index.scene_count)}
    order = [scene.name for scene, frames in kept if scene.name in planned]
    assert order == list(planned)
    reader = FrameReader(index)
    for scene, frames in kept:
        rows = index.scene_rows(planned[scene.name]) if scene.name in planned else range(0)
        assert [index.text("frame.name", row) for row in rows] == [frame.name for frame in frames]
        if frames:
            assert index.splits[index["scene.split"][planned[scene.name]]] == scene.split
        for row, frame in zip(rows, frames, strict=True):
            compare_frame(index, planned[scene.name], row, reader.read(row), frame, miniature, with_pictures)


def compare_frame(index, scene, row, found, frame, miniature, with_pictures):
    """Cameras to 1e-6, depth to 0.1 %, masks exactly."""
    where = f"{index.text('scene.name', scene)}/{frame.name}"
    assert found.image.shape == frame.image.shape, where
    matrix = cameras.intrinsics_matrix(found.intrinsics)
    unit, raw_from_world = float(index["scene.unit"][scene]), index["scene.raw_from_world"][scene]
    pose = cameras.raw_cam_to_world(found.world_to_cam, raw_from_world, unit)
    np.testing.assert_allclose(pose[:, :3], frame.cam_to_world[:3, :3], atol=1e-6, err_msg=where)
    size = np.abs(frame.cam_to_world[:3, 3]).max()
    np.testing.assert_allclose(pose[:, 3], frame.cam_to_world[:3, 3], atol=1e-6 * max(size, unit), err_msg=where)
    if frame.seen is not None:
        compare_resampled(found, frame.seen(matrix), unit, frame.depth is not None, where)
        return
    np.testing.assert_allclose(matrix, frame.intrinsics, rtol=1e-6, err_msg=where)
    depth = np.zeros(frame.image.shape[:2]) if frame.depth is None else frame.depth
    np.testing.assert_array_equal(found.depth > 0, depth > 0, err_msg=f"{where}: which depths are known")
    np.testing.assert_allclose(found.depth * unit, depth, rtol=miniature.depth_tolerance, err_msg=where)
    sky = np.zeros(depth.shape, bool) if frame.sky is None else frame.sky
    np.testing.assert_array_equal(found.sky, sky, err_msg=f"{where}: sky")
    for mask in ("dynamic", "object"):
        of_shard, true = getattr(found, mask), getattr(frame, mask)
        assert (of_shard is None) == (true is None), f"{where}: {mask}"
        if true is not None:
            np.testing.assert_array_equal(of_shard, true, err_msg=f"{where}: {mask}")
    if with_pictures:
        difference = np.abs(found.image.astype(int) - frame.image).mean()
        assert difference <= miniature.picture_tolerance, f"{where}: picture differs by {difference:.2f}"


def compare_resampled(found, view, unit, has_depth, where):
    """The frame is what a camera with its intrinsics sees, but for the half pixel that resampling may be off."""
    assert np.abs(found.image.astype(float) - view.image)[~view.sky & ~found.sky].mean() < 3, f"{where}: picture"
    if has_depth:
        both = (found.depth > 0) & (view.depth > 0)
        assert both.mean() > 0.5, f"{where}: hardly any depth"
        error = np.abs(found.depth * unit - view.depth)[both] / view.depth[both]
        assert np.median(error) < 0.01 and np.percentile(error, 90) < 0.05, f"{where}: depth"
