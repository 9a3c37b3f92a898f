"""The engine's promises: the same bytes whatever happens on the way, nothing disappears, errors in one line."""

import errno
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pytest
from kills import check_kills, run_and_die

from zipmap_pl import files
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine import run as engine
from zipmap_pl.preprocess.engine.run import finish_folder, preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions, list_frames

SETTINGS = EngineSettings(frames_per_shard=4)


@pytest.fixture(scope="module")
def reader(toys, tmp_path_factory):
    """Three scenes of 10, 3 and 6 frames: shards that hold several scenes and scenes that span shards."""
    raw = tmp_path_factory.mktemp("raw")
    for seed, (name, frames) in enumerate({"a": 10, "b": 3, "c": 6}.items()):
        toys.write_sequence(raw / name, frames, seed)
    return RgbdFolder(raw, RgbdOptions("toy"))


@pytest.fixture(scope="module")
def unbroken(toys, reader, tmp_path_factory):
    """The tree of a run without any trouble."""
    output = tmp_path_factory.mktemp("unbroken") / "toy"
    report = preprocess(reader, output, SETTINGS, workers=1)
    assert (report.complete, report.shards, report.shards_written) == (True, 5, 5)
    return toys.tree(output)


def test_two_workers_write_the_same_bytes(toys, reader, unbroken, tmp_path):
    preprocess(reader, tmp_path, SETTINGS, workers=2)
    assert toys.tree(tmp_path) == unbroken


def test_parts_in_any_order_write_the_same_bytes_and_the_last_one_finishes(toys, reader, unbroken, tmp_path):
    complete = [preprocess(reader, tmp_path, SETTINGS, 1, part=(i, 3)).complete for i in (3, 1, 2)]
    assert complete == [False, False, True]
    assert toys.tree(tmp_path) == unbroken


def test_time_zone_locale_and_umask_change_nothing(toys, reader, unbroken, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    old = os.umask(0o077)
    try:
        preprocess(reader, tmp_path, SETTINGS, workers=1)
    finally:
        os.umask(old)
    assert toys.tree(tmp_path) == unbroken


def test_running_again_touches_nothing(reader, tmp_path):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert preprocess(reader, tmp_path, SETTINGS, workers=1).shards_written == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_shard_that_was_lost_is_written_again(toys, reader, unbroken, tmp_path):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    (tmp_path / "train/toy-000002.tar").unlink()
    (tmp_path / "train/toy-000003.tar").write_bytes(b"cut off")
    assert preprocess(reader, tmp_path, SETTINGS, workers=1).shards_written == 2
    assert toys.tree(tmp_path) == unbroken


def test_other_settings_are_refused_by_name_and_rebuild_goes_on(toys, reader, unbroken, tmp_path):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    other = RgbdFolder(reader.raw, replace(reader.options, depth_scale=500.0))
    with pytest.raises(
        UserError, match=r"engine\.max_side: 1024 there, 32 now; reader\.depth_scale: null there, 500\.0 now"
    ):
        preprocess(other, tmp_path, replace(SETTINGS, max_side=32), workers=1)
    assert toys.tree(tmp_path) == unbroken
    assert preprocess(other, tmp_path, replace(SETTINGS, max_side=32), workers=1, rebuild=True).complete
    assert ShardIndex.open(tmp_path)["frame.size"][0].tolist() == [24, 32]
    preprocess(reader, tmp_path, SETTINGS, workers=1, rebuild=True)
    assert toys.tree(tmp_path) == unbroken


def test_rebuild_with_a_mistyped_raw_folder_throws_nothing_away(toys, reader, unbroken, tmp_path):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    with pytest.raises(UserError, match="no such folder"):
        preprocess(RgbdFolder(reader.raw / "typo", reader.options), tmp_path, SETTINGS, workers=1, rebuild=True)
    assert toys.tree(tmp_path) == unbroken


def test_raw_files_that_vanish_after_the_plan_are_faults(toys, tmp_path):
    raw = toys.write_sequence(tmp_path / "raw", 6)
    reader = RgbdFolder(raw, RgbdOptions("toy"))
    preprocess(reader, tmp_path / "out", SETTINGS, workers=1, part=(1, 2))
    for file in raw.glob("frame-000005.*"):
        file.unlink()
    list_frames.cache_clear()  # as in the next run of the command
    with pytest.raises(UserError, match="1 of 6 frames .*raw/000005: .*neither picture nor depth is there any more"):
        preprocess(reader, tmp_path / "out", SETTINGS, workers=1)


def test_a_script_without_main_guard_ends_with_a_hint(reader, tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            from zipmap_pl.preprocess.engine.run import preprocess
            from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions
            from zipmap_pl.preprocess.engine.settings import EngineSettings
            reader = RgbdFolder(Path({str(reader.raw)!r}), RgbdOptions("toy"))
            preprocess(reader, Path({str(tmp_path / "out")!r}), EngineSettings(), workers=2)
            """
        )
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert 'put what the script does below `if __name__ == "__main__":`' in ended.stderr
    assert not (tmp_path / "out/dataset.json").exists()


def test_rebuild_and_a_first_run_leave_folders_of_others_alone(reader, tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index/precious.txt").write_text("not ours")
    for rebuild in (False, True):
        with pytest.raises(UserError, match="holds 'index' but no plan of ours"):
            preprocess(reader, tmp_path, SETTINGS, workers=1, rebuild=rebuild)
    assert (tmp_path / "index/precious.txt").is_file()


# Kills: the process dies at a chosen system call that makes files, as kill -9 or a power cut would have it.


def test_kill_and_go_on(toys, reader, unbroken, tmp_path):
    moments = sorted(random.Random(0).sample(range(200), 12))
    assert check_kills(toys.tree, reader, unbroken, tmp_path, moments, SETTINGS) >= 8


def test_kill_while_a_shard_with_faults_is_written_again(toys, reader, unbroken, tmp_path):
    """Never an old tar beside a new sidecar: by size alone it could be taken for whole."""
    failed = tmp_path / "failed"
    with pytest.raises(UserError, match="1 of 19 frames"):
        preprocess(Stumbling(reader, RawFault("x.png", "unreadable picture")), failed, SETTINGS, workers=1)
    for moment in range(4, 24):
        output = shutil.copytree(failed, tmp_path / str(moment))
        assert run_and_die(reader, output, moment, SETTINGS) == -signal.SIGKILL
        for sidecar in (output / "sidecars").rglob("*.npz"):
            tar = (output / sidecar.relative_to(output / "sidecars")).with_suffix(".tar")
            with np.load(sidecar) as arrays:
                meta = json.loads(bytes(arrays["meta"]))
            assert not tar.exists() or hashlib.sha256(tar.read_bytes()).hexdigest() == meta["sha256"]
    preprocess(reader, output, SETTINGS, workers=1)
    assert toys.tree(output) == unbroken


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_at_every_file_operation_and_go_on(toys, reader, unbroken, tmp_path):
    assert check_kills(toys.tree, reader, unbroken, tmp_path, range(250), SETTINGS) >= 150


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stop_the_parent_and_go_on(toys, reader, unbroken, tmp_path, number, workers):
    """SIGTERM ends as Ctrl-C does: tidily."""
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, signal
            from dataclasses import dataclass
            from pathlib import Path
            from zipmap_pl.preprocess.engine.run import preprocess
            from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions
            from zipmap_pl.preprocess.engine.settings import EngineSettings

            @dataclass(frozen=True)
            class Killer(RgbdFolder):
                parent: int = 0
                def frame(self, scene, frame):
                    planned = Path({str(tmp_path / "out/plan/plan.jsonl")!r}).exists()
                    if planned and (scene.name, frame) == ("a", "000006"):
                        os.kill(self.parent, {number.value})
                    return super().frame(scene, frame)

            if __name__ == "__main__":
                reader = Killer(Path({str(reader.raw)!r}), RgbdOptions("toy"), os.getpid())
                preprocess(reader, Path({str(tmp_path / "out")!r}), EngineSettings(frames_per_shard=4), {workers})
            """
        )
    )
    ended = subprocess.run([sys.executable, script], capture_output=True).returncode
    assert ended == -(signal.SIGINT if number == signal.SIGTERM else number)
    if number != signal.SIGKILL:
        assert not list((tmp_path / "out").rglob(".*.tmp"))
    assert not (tmp_path / "out/dataset.json").exists()
    preprocess(reader, tmp_path / "out", SETTINGS, workers=1)
    assert toys.tree(tmp_path / "out") == unbroken


def test_two_processes_on_the_same_output(toys, reader, unbroken, tmp_path):
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if preprocess(reader, tmp_path, SETTINGS, workers=1).complete else 1
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert toys.tree(tmp_path) == unbroken


def test_interrupt_leaves_no_half_file(toys, reader, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_plan_scene", lambda job, *a: plan_with(reader, *a))
    with pytest.raises(KeyboardInterrupt):
        preprocess(Stumbling(reader, KeyboardInterrupt()), tmp_path, SETTINGS, workers=1)
    assert not list(tmp_path.rglob(".*.tmp"))
    assert [path.name for path in tmp_path.rglob("*.tar")] == ["toy-000000.tar"]
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


# Bad data and bad systems.


@dataclass(frozen=True)
class Stumbling:
    """A reader that meets an error at frame 6 of scene a."""

    reader: RgbdFolder
    error: BaseException

    @property
    def info(self):
        return self.reader.info

    def settings(self):
        return self.reader.settings()

    def scenes(self):
        return self.reader.scenes()

    def camera(self, scene, frame):
        return self.reader.camera(scene, frame)

    def frame(self, scene, frame):
        if (scene.name, frame) == ("a", "000007"):
            raise self.error
        return self.reader.frame(scene, frame)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/disk"), "/full/disk: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/raw/x.png"), "/raw/x.png: Permission denied"),
        (MemoryError(), "ran out of memory"),
    ],
)
def test_errors_of_the_system_stop_the_run_and_are_no_faults(
    toys, reader, unbroken, tmp_path, error, text, monkeypatch
):
    monkeypatch.setattr(engine, "_plan_scene", lambda job, *a: plan_with(reader, *a))
    with pytest.raises(UserError, match=text) as raised:
        preprocess(Stumbling(reader, error), tmp_path, SETTINGS, workers=1)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "dataset.json").exists()
    assert not list(tmp_path.rglob(".*.tmp"))
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


def plan_with(reader, *arguments):
    return engine.plan_scene(reader, *arguments)


def test_disk_full_while_writing(toys, reader, unbroken, tmp_path, monkeypatch):
    def full(stream, final):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zipmap_pl.preprocess.engine.writer.commit", full)
    with pytest.raises(UserError, match="No space left on device"):
        preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert not list(tmp_path.rglob("*.tar"))
    monkeypatch.undo()
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


def test_faults_are_counted_named_capped_accepted_and_healed(toys, reader, unbroken, tmp_path):
    stumbling = Stumbling(reader, RawFault("x.png", "unreadable picture"))
    with pytest.raises(
        UserError, match=r"1 of 19 frames .*a/000007: x\.png: unreadable picture.*--max-fault-share 0\.06"
    ):
        preprocess(stumbling, tmp_path, SETTINGS, workers=1)
    assert not (tmp_path / "dataset.json").exists()

    accepted = preprocess(stumbling, tmp_path, replace(SETTINGS, max_fault_share=0.06), workers=1)
    assert (accepted.complete, len(accepted.faults)) == (True, 1)
    counts = json.loads((tmp_path / "dataset.json").read_text())["counts"]
    assert counts["frames_planned"] == counts["frames"] + counts["faults"] == 19
    index = ShardIndex.open(tmp_path)
    assert index["frame.ordinal"][index.scene_rows(0)].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]

    (tmp_path / "dataset.json").unlink()  # the frame was also one of those that the unit is taken from
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


def test_a_scene_without_any_usable_pose_is_all_faults(toys, tmp_path):
    for name in ("good", "lost"):
        toys.write_sequence(tmp_path / "raw" / name, 4)
    for pose in (tmp_path / "raw/lost").glob("*.pose.txt"):
        np.savetxt(pose, np.full((4, 4), np.nan))
    report = preprocess(
        RgbdFolder(tmp_path / "raw", RgbdOptions("toy")), tmp_path / "out", EngineSettings(max_fault_share=0.5), 1
    )
    index = ShardIndex.open(tmp_path / "out")
    assert len(report.faults) == 4
    assert all("pose holds nan, expected finite numbers" in str(fault) for fault in report.faults)
    assert index["scene.frame_count"].tolist() == [4, 0]


def test_only_faults_is_never_a_dataset(toys, tmp_path):
    raw = toys.write_sequence(tmp_path / "raw", 2)
    for pose in raw.glob("*.pose.txt"):
        np.savetxt(pose, np.full((4, 4), np.inf))
    with pytest.raises(UserError, match="2 of 2 frames could not be used"):
        preprocess(RgbdFolder(raw, RgbdOptions("toy")), tmp_path / "out", EngineSettings(max_fault_share=1.0), 1)


def test_finish_says_what_is_missing(reader, tmp_path):
    preprocess(reader, tmp_path, SETTINGS, workers=1, part=(1, 2))
    with pytest.raises(UserError, match=r"2 of 5 shards are not there yet, first train/toy-000001\.tar"):
        finish_folder(tmp_path, 0.01)
    with pytest.raises(UserError, match="no plan"):
        finish_folder(reader.raw, 0.01)


def test_tars_have_fixed_time_owner_and_mode(unbroken, tmp_path):
    for name, data in unbroken.items():
        if name.endswith(".tar"):
            (tmp_path / "one.tar").write_bytes(data)
            with tarfile.open(tmp_path / "one.tar") as archive:
                assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive} == {
                    (0, 0, 0, "", "", 0o644)
                }


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    child = os.fork()
    if child == 0:
        with files.locked(tmp_path / "lock"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with files.locked(tmp_path / "lock"):
        pass


def test_a_file_that_is_being_written_is_locked(tmp_path):
    with (
        files.exclusive_temporary(tmp_path / "shard.tar"),
        open(tmp_path / ".shard.tar.tmp", "rb") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(tmp_path.iterdir()) == []
