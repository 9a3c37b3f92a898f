"""Tables of containers are made once for all workers and parts, survive kills, and change no byte of a dataset."""

import gzip
import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from boxed_poses import BoxedPoses, box_poses, builds, forget_poses, interrupting, poses_of
from kills import check_kills

from zipmap_pl.preprocess import kept
from zipmap_pl.preprocess.engine import tables
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.engine.workers import Job, never
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

SETTINGS = EngineSettings(frames_per_shard=4)
SCENES = {"a": 6, "b": 3, "c": 2}
BOXES = [f"{name}.poses.gz" for name in SCENES]


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch):
    """Waiting for the disk is most of the time of so small runs."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def unboxed(toys, tmp_path_factory):
    """The raw folder before its poses were boxed, and what a reader without tables makes of it."""
    raw = tmp_path_factory.mktemp("unboxed") / "raw"
    for seed, (name, frames) in enumerate(SCENES.items()):
        toys.write_sequence(raw / name, frames, seed)
    output = raw.parent / "out"
    preprocess(RgbdFolder(raw, RgbdOptions("toy")), output, SETTINGS, workers=1)
    return raw, toys.tree(output)


@pytest.fixture
def raw(unboxed, tmp_path):
    folder = shutil.copytree(unboxed[0], tmp_path / "raw")
    box_poses(folder)
    forget_poses()
    return folder


def reader_of(raw):
    return BoxedPoses(RgbdFolder(raw, RgbdOptions("toy")), raw)


def kept_files(output):
    return {path.name: path.read_bytes() for path in (output / "plan/tables").iterdir()}


# Once, whoever comes.


def test_they_are_made_once_for_all_workers_and_are_in_no_byte(toys, unboxed, raw, tmp_path):
    preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=2)
    assert builds(raw) == BOXES and len(kept_files(tmp_path / "out")) == 3
    assert toys.tree(tmp_path / "out") == unboxed[1]


def test_they_are_there_before_scenes_are_listed(raw, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(BoxedPoses, "scenes", lambda self: seen.append(builds(raw)) or self.reader.scenes())
    preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1)
    assert seen == [BOXES]


def test_parts_at_the_same_time_make_each_of_them_once(toys, unboxed, raw, tmp_path):
    children = []
    for part in (1, 2, 3):
        child = os.fork()
        if child == 0:
            try:
                preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1, part=(part, 3))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert builds(raw) == BOXES
    assert toys.tree(tmp_path / "out") == unboxed[1]


def test_each_part_begins_with_another_container(raw, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(kept.KeptTable, "make", lambda table: made.append(table.source.name) or True)
    for part in (1, 2, 3):
        tables.make_tables(reader_of(raw), (part, 3), lambda task, arguments, name: [task(None, *a) for a in arguments])
    assert [made[k] for k in (0, 3, 6)] == BOXES and sorted(made) == sorted(3 * BOXES)


def test_a_rebuild_keeps_them(raw, tmp_path):
    preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1)
    forget_poses()
    preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1, rebuild=True)
    assert builds(raw) == BOXES


def test_they_may_be_deleted(toys, unboxed, raw, tmp_path):
    preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1, part=(1, 2))
    shutil.rmtree(tmp_path / "out/plan/tables")
    forget_poses()
    preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1)
    assert toys.tree(tmp_path / "out") == unboxed[1]
    shutil.rmtree(tmp_path / "out/plan/tables")
    assert preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=1).shards_written == 0


# Claims.


def in_child(work) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def test_what_another_process_is_at_is_left_out_and_then_waited_for(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "PAUSE", 0.01)
    begun, go_on = os.pipe(), os.pipe()
    mine, theirs = (kept.KeptTable(raw / f"{name}.poses.gz", "poses", poses_of) for name in "ab")

    def slowly(file):
        os.write(begun[1], b"x")
        os.read(go_on[0], 1)
        return poses_of(file)

    with kept.kept_in(tmp_path / "tables", raw):
        child = in_child(lambda: kept.KeptTable(theirs.source, "poses", slowly).make())
        os.read(begun[0], 1)
        job = Job(reader_of(raw), never)
        assert tables._make(job, mine, patient=False) is None
        assert tables._make(job, theirs, patient=False) is theirs
        os.write(go_on[1], b"x")
        assert tables._make(job, theirs, patient=True) is None
        os.waitpid(child, 0)
        assert builds(raw) == BOXES[:2]


def test_whoever_waits_for_a_builder_that_dies_builds(raw, tmp_path):
    begun, go_on = os.pipe(), os.pipe()

    def dying(file):
        os.write(begun[1], b"x")
        os.read(go_on[0], 1)
        os.kill(os.getpid(), signal.SIGKILL)

    with kept.kept_in(tmp_path / "tables", raw):
        child = in_child(lambda: kept.table(raw / "a.poses.gz", "poses", dying))
        os.read(begun[0], 1)
        assert not kept.KeptTable(raw / "a.poses.gz", "poses", poses_of).make()
        os.write(go_on[1], b"x")
        assert kept.table(raw / "a.poses.gz", "poses", poses_of)["cam_to_world"].shape == (6, 4, 4)
        os.waitpid(child, 0)
    assert [path.suffix for path in (tmp_path / "tables").iterdir()] == [".npz"]


def test_ctrl_c_does_not_wait_for_a_builder_and_leaves_nothing_half(raw, tmp_path, monkeypatch):
    endless = [kept.KeptTable(raw / "a.poses.gz", "poses", interrupting)]
    monkeypatch.setattr(BoxedPoses, "containers", lambda self: endless)
    with pytest.raises(KeyboardInterrupt):
        preprocess(reader_of(raw), tmp_path / "out", SETTINGS, workers=2)
    assert [*(tmp_path / "out").rglob("*tables/*")] == []


def test_killed_and_gone_on_the_bytes_are_the_same(toys, raw, tmp_path):
    check_killed(toys, raw, tmp_path, sorted(random.Random(0).sample(range(100), 4)))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_anywhere_the_bytes_are_the_same(toys, raw, tmp_path):
    check_killed(toys, raw, tmp_path, range(120))


def check_killed(toys, raw, folder, moments):
    """Every run begins without what this process remembers of the boxes."""
    preprocess(reader_of(raw), folder / "unbroken", SETTINGS, workers=1)
    forget_poses()
    unbroken, tables_of_unbroken = toys.tree(folder / "unbroken"), kept_files(folder / "unbroken")
    for moment in moments:
        check_kills(toys.tree, reader_of(raw), unbroken, folder, [moment], SETTINGS)
        assert kept_files(folder / str(moment)) == tables_of_unbroken
        forget_poses()


# Which table is whose.


@pytest.fixture
def folder(raw, tmp_path):
    """Where tables are kept while a test runs."""
    with kept.kept_in(tmp_path / "tables", raw):
        yield tmp_path / "tables"


def test_a_damaged_one_is_built_anew(raw, folder):
    whole = kept.table(raw / "a.poses.gz", "poses", poses_of)["cam_to_world"]
    (file,) = folder.iterdir()
    data = file.read_bytes()
    places = np.random.default_rng(0).integers(0, len(data), 60).tolist()
    spoilt = [data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :] for place in places]
    spoilt += [data[:place] for place in places] + [b"", data + b"x"]
    for wrong in spoilt:
        file.write_bytes(wrong)
        np.testing.assert_array_equal(kept.table(raw / "a.poses.gz", "poses", poses_of)["cam_to_world"], whole)
        assert file.read_bytes() == data


def test_one_that_lies_under_the_name_of_another_is_built_anew(raw, folder):
    for name in ("a", "b"):
        kept.table(raw / f"{name}.poses.gz", "poses", poses_of)
    first, second = sorted(folder.iterdir())
    shutil.copy2(second, first)
    assert len(kept.table(raw / "a.poses.gz", "poses", poses_of)["cam_to_world"]) == SCENES["a"]


@pytest.mark.parametrize("change", ["bytes", "time", "kind", "version", "file"])
def test_another_file_kind_or_version_has_another_table(raw, folder, change):
    file, kind, version = raw / "a.poses.gz", "poses", 1
    kept.table(file, kind, poses_of, version)
    kept.table(file, kind, poses_of, version)
    assert len(builds(raw)) == 1
    if change == "bytes":
        file.write_bytes(gzip.compress(b"1 " * 16, mtime=0))
    if change == "time":
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    if change == "file":
        file = shutil.copy2(file, raw / "d.poses.gz")
    kind, version = ("other" if change == "kind" else kind), (2 if change == "version" else version)
    kept.table(Path(file), kind, poses_of, version)
    assert len(builds(raw)) == 2 == len([*folder.iterdir()])


def test_another_machine_that_sees_the_raw_folder_elsewhere_finds_them(raw, folder, tmp_path):
    kept.table(raw / "a.poses.gz", "poses", poses_of)
    elsewhere = raw.rename(tmp_path / "mounted")
    with kept.kept_in(folder, elsewhere):
        kept.table(elsewhere / "a.poses.gz", "poses", poses_of)
    assert len(builds(elsewhere)) == 1


def test_one_kept_as_a_whole_is_a_plain_npz(raw, folder):
    kept.table(raw / "a.poses.gz", "poses", poses_of)
    (file,) = folder.iterdir()
    with np.load(file) as arrays:
        assert arrays["cam_to_world"].shape == (6, 4, 4)


def test_objects_are_not_kept(raw, folder):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        kept.table(raw / "a.poses.gz", "poses", lambda file: {"names": np.array([{}])})
    assert [*folder.iterdir()] == []


def test_without_an_output_folder_they_last_as_long_as_a_temporary_one(raw):
    with kept.kept_in(None, raw) as place:
        for _ in range(2):
            kept.table(raw / "a.poses.gz", "poses", poses_of)
        assert len(builds(raw)) == 1 == len([*place.folder.iterdir()])
    assert not place.folder.exists()
    kept.table(raw / "a.poses.gz", "poses", poses_of)
    assert len(builds(raw)) == 2


# Containers that are damaged.


def test_a_damaged_container_is_read_once_and_its_scene_is_left_out(raw, tmp_path):
    box = raw / "b.poses.gz"
    box.write_bytes(box.read_bytes()[:-20])
    settings = EngineSettings(frames_per_shard=4, max_fault_share=0.5)
    for part in (2, 1):
        report = preprocess(reader_of(raw), tmp_path / "out", settings, workers=1, part=(part, 2))
        forget_poses()
    assert report.complete and builds(raw) == BOXES
    assert [(out.scene, out.file) for out in report.left_out] == [("b", str(box))]
    assert "unreadable list of poses" in report.left_out[0].reason


def test_the_fault_of_a_container_names_it_where_it_is_now(raw, folder, tmp_path):
    def broken(file):
        raise RawFault(f"{file}/member", "not there")

    with pytest.raises(RawFault, match="not there"):
        kept.table(raw / "a.poses.gz", "poses", broken)
    elsewhere = raw.rename(tmp_path / "mounted")
    with kept.kept_in(folder, elsewhere), pytest.raises(RawFault) as fault:
        kept.table(elsewhere / "a.poses.gz", "poses", poses_of)
    assert (fault.value.file, fault.value.reason) == (f"{elsewhere}/a.poses.gz/member", "not there")
    assert builds(elsewhere) == []


def test_a_missing_container_is_told_by_its_builder(raw, folder):
    (raw / "a.poses.gz").unlink()
    with pytest.raises(RawFault, match=r"a\.poses\.gz: unreadable list of poses"):
        kept.table(raw / "a.poses.gz", "poses", poses_of)
    assert not folder.exists()
