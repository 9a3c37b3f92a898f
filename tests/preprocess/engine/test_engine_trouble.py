"""More of the engine's promises: other surroundings, systems that fail anywhere, jobs that are done, settings that moved on."""

import errno
import os
import random
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine import run as engine
from zipmap_pl.preprocess.engine import settings
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

SETTINGS = EngineSettings(frames_per_shard=4)


@pytest.fixture(scope="module")
def reader(toys, tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    for seed, (name, frames) in enumerate({"a": 6, "b": 3}.items()):
        toys.write_sequence(raw / name, frames, seed)
    return RgbdFolder(raw, RgbdOptions("toy"))


@pytest.fixture(scope="module")
def unbroken(toys, reader, tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken") / "toy"
    preprocess(reader, output, SETTINGS, workers=1)
    return toys.tree(output)


# The same bytes.


def test_another_environment_writes_the_same_bytes(toys, reader, unbroken, tmp_path):
    """A process that lives in another time zone, locale, folder and order of hashes, and keeps its files to itself."""
    surroundings = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PYTHONUTF8": "0"}
    command = "import os, sys; os.umask(0o077); from zipmap_pl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    options = ["--slug", "toy", "--output", str(tmp_path / "out"), "--workers", "1", "--frames-per-shard", "4"]
    arguments = [sys.executable, "-c", command, "preprocess", "rgbd_folder", str(reader.raw), *options]
    subprocess.run(arguments, env={**os.environ, **surroundings}, cwd=tmp_path, check=True, capture_output=True)
    assert toys.tree(tmp_path / "out") == unbroken


@pytest.mark.long
@pytest.mark.parametrize("workers", [4, 16])
def test_many_workers_write_the_same_bytes(toys, reader, unbroken, tmp_path, workers):
    preprocess(reader, tmp_path, SETTINGS, workers)
    assert toys.tree(tmp_path) == unbroken


def test_neighbours_of_a_long_scene_are_found_part_by_part(toys, reader, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr("zipmap_pl.preprocess.engine.finish.NEIGHBOURS_AT_ONCE", 4)
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


# A job that is done.


def test_a_finished_job_is_seen_by_its_file_sizes_alone(reader, tmp_path, monkeypatch):
    """Neither the raw data nor plan, shards or sidecars are read: with 100,000 shards that would take minutes."""
    first = preprocess(reader, tmp_path, SETTINGS, workers=1)
    for name in ("load_plan", "shard_state", "list_scenes", "finish"):
        monkeypatch.setattr(engine, name, None)
    again = preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert (again.complete, again.shards, again.shards_written) == (True, first.shards, 0)
    assert (again.scenes, again.frames_planned, again.faults) == (first.scenes, first.frames_planned, first.faults)


def test_a_run_that_resumes_does_not_list_the_raw_data_again(toys, reader, unbroken, tmp_path, monkeypatch):
    preprocess(reader, tmp_path, SETTINGS, workers=1, part=(1, 2))
    monkeypatch.setattr(engine, "list_scenes", None)
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


@pytest.mark.parametrize("name", ["plan/finished.json", "sidecars/train/toy-000001.npz", "train/toy-000001.tar"])
@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-1])])
def test_what_is_lost_or_cut_off_afterwards_is_noticed(toys, reader, unbroken, tmp_path, name, spoil):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    spoil(tmp_path / name)
    report = preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert report.shards_written == (0 if name.startswith("plan") else 1)
    if report.shards_written:
        assert toys.tree(tmp_path) == unbroken


@pytest.mark.parametrize("change", [("SHARD_VERSION", 99, "schema_version: "), ("cv2", None, "libraries.opencv: ")])
def test_shards_of_another_format_or_codec_are_refused(reader, tmp_path, monkeypatch, change):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    name, value, told = change
    monkeypatch.setattr(settings, name, value or type("Codec", (), {"__version__": "99"}))
    with pytest.raises(UserError, match=f"other settings: {told}.* there, .*99.* now.*--rebuild") as raised:
        preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert "\n" not in str(raised.value)
    assert preprocess(reader, tmp_path, SETTINGS, workers=1, rebuild=True).complete


def test_shards_of_a_reader_before_its_correction_are_refused(reader, tmp_path, monkeypatch):
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    corrected = replace(reader.info, reader_version=2)
    monkeypatch.setattr(type(reader), "info", corrected)
    with pytest.raises(UserError, match=r"dataset\.reader_version: 1 there, 2 now.*--rebuild"):
        preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert preprocess(reader, tmp_path, SETTINGS, workers=1, rebuild=True).complete


# Systems that fail.


class Failing:
    """`os` functions that raise at the n-th call, and count them."""

    def __init__(self, monkeypatch, number: int, fails_at: int | None) -> None:
        self.calls = 0
        for name in ("open", "fsync", "replace"):
            monkeypatch.setattr(os, name, self._failing(getattr(os, name), number, fails_at))

    def _failing(self, real, number, fails_at):
        def call(*arguments, **options):
            self.calls += 1
            if self.calls - 1 == fails_at:
                raise OSError(number, os.strerror(number), "/the/disk")
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
def test_a_system_that_fails_anywhere_stops_the_run_in_one_line(toys, reader, unbroken, tmp_path, number):
    with pytest.MonkeyPatch.context() as patch:
        total = Failing(patch, number, None)
        preprocess(reader, tmp_path / "counted", SETTINGS, workers=1)
    for moment in random.Random(number).sample(range(total.calls), 3):
        output = tmp_path / str(moment)
        with pytest.MonkeyPatch.context() as patch:
            Failing(patch, number, moment)
            with pytest.raises(UserError) as raised:
                preprocess(reader, output, SETTINGS, workers=1)
        assert str(raised.value).startswith("/the/disk: ") and "\n" not in str(raised.value)
        assert not list(output.rglob(".*.tmp"))
        for tar in output.rglob("*.tar"):
            assert tar.read_bytes() == unbroken[str(tar.relative_to(output))]
        preprocess(reader, output, SETTINGS, workers=1)
        assert toys.tree(output) == unbroken, f"failed at file operation {moment}"


@pytest.mark.parametrize("largest", [300, 5_000, 20_000])
def test_files_that_the_system_does_not_let_grow(toys, reader, unbroken, tmp_path, largest):
    """Writes that really fail, in a process of its own: within the plan, the index, or a tar."""
    assert max(len(data) for data in unbroken.values()) > largest
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
            preprocess(reader, tmp_path, SETTINGS, workers=1)
        except UserError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        message = stream.read()
    os.waitpid(child, 0)
    assert message == f"{tmp_path}: File too large; put that right, then the same command goes on"
    assert not list(tmp_path.rglob(".*.tmp"))
    assert not (tmp_path / "dataset.json").exists()
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == unbroken


def test_the_index_takes_no_memory_but_files(reader, tmp_path):
    """Its columns are mapped while they are filled: 400 bytes a frame, whatever the number of frames."""
    seen = []
    from zipmap_pl.preprocess.engine import finish

    real = finish._fill_neighbours
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "_fill_neighbours", lambda *a: (seen.extend(a[2].values()), real(*a))[1])
        preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert seen and all(isinstance(column, np.memmap) for column in seen)
    assert ShardIndex.open(tmp_path).frame_count == 9
