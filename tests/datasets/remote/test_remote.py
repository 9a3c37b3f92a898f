"""Shards behind a URL: the same batches as from a disk, whatever the network does; a cache that keeps what it promises."""

import logging
import multiprocessing
import os
import pickle
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from faulty_server import FaultyServer
from torch import Tensor

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader, OpenFiles
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig
from zipmap_pl.datasets.remote import remote_files
from zipmap_pl.datasets.remote.range_cache import RangeCache
from zipmap_pl.datasets.remote.remote_files import RemoteConfig, RemoteError, RemoteFiles
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions

SCENES, FRAMES = 4, 6


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    options = SceneOptions(width=28, height=28, views=FRAMES, moving_objects=1)
    preprocess(
        SyntheticReader(options, SCENES, 1),
        folder / "rooms",
        EngineSettings(lossless=True, frames_per_shard=8),
        workers=1,
    )
    return folder


@pytest.fixture
def server(rooms):
    with FaultyServer(rooms) as server:
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote_files, "FIRST_WAIT", 0.0)


@pytest.fixture
def remote(tmp_path):
    return RemoteConfig(cache=str(tmp_path / "cache"), timeout=20.0)


def opened(server, remote):
    return ShardIndex.open(f"{server.url}/rooms", remote)


def frames_of(reader):
    count = reader.index.frame_count
    reader.fetch(range(count))
    for row in range(count):
        frame = reader.read(row)
        yield tuple(np.asarray(getattr(frame, entry.name)).tobytes() for entry in fields(frame))


def local_frames(rooms):
    return list(frames_of(FrameReader(ShardIndex.open(rooms / "rooms"))))


def test_frames_from_a_server_are_those_on_the_disk_and_nothing_more_is_read(rooms, server, remote):
    index = opened(server, remote)
    server.requests.clear()
    assert list(frames_of(FrameReader(index, RemoteFiles(remote)))) == local_frames(rooms)
    assert len(server.requests) == index.frame_count, "one request for each frame"
    assert len(set(server.requests)) == index.frame_count, "none twice"
    parts = int(index["frame.part_length"].astype(np.int64).sum())
    headers = 4 * 1024 * index.frame_count  # of tar members and their padding
    assert sum(length for _, _, length in server.requests) <= parts + headers


def test_an_index_of_schema_3_is_fetched_without_the_columns_that_it_lacks(remote):
    old = Path(__file__).parents[2] / "data" / "before_rooms"
    with FaultyServer(old) as server:
        index = ShardIndex.open(f"{server.url}/shards", remote)
        assert (index.info["schema_version"], index["frame.stream"].tolist()) == (3, [0] * 16)
        assert list(frames_of(FrameReader(index, RemoteFiles(remote)))) == list(
            frames_of(FrameReader(ShardIndex.open(old / "shards")))
        )


@pytest.mark.parametrize("how", ["fail", "cut", "whole", "wrong"])
def test_nothing_is_lost_or_doubled_whatever_the_server_does(rooms, server, remote, how, caplog):
    index = opened(server, remote)
    server.requests.clear()
    server.behave = lambda number, path: how if number % 3 == 1 else "well"
    with caplog.at_level(logging.WARNING):
        assert list(frames_of(FrameReader(index, RemoteFiles(remote)))) == local_frames(rooms)
    asked = len(server.requests)
    assert asked == index.frame_count if how == "whole" else asked > index.frame_count
    assert sum("whole files" in record.getMessage() for record in caplog.records) == (how == "whole")


def test_a_server_that_stalls_is_asked_again(rooms, server, remote):
    index = opened(server, remote)
    server.requests.clear()
    server.behave = lambda number, path: "stall" if number == 2 else "well"
    hasty = replace(remote, timeout=1.0)
    assert list(frames_of(FrameReader(index, RemoteFiles(hasty)))) == local_frames(rooms)
    server.behave = lambda number, path: "stall"
    with pytest.raises(DamagedShard, match=r"synthetic-000000\.tar: sample .*no answer within 0\.05 s"):
        FrameReader(index, RemoteFiles(replace(remote, timeout=0.05, attempts=2))).read(0)


@pytest.mark.parametrize(
    ("how", "requests", "told"),
    [("fail", 4, "status 503"), ("cut", 4, ""), ("refuse", 1, "status 403"), ("wrong", 4, "checksum")],
)
def test_what_does_not_pass_becomes_a_fault_after_the_last_attempt(server, remote, how, requests, told):
    index = opened(server, remote)
    server.requests.clear()
    server.behave = lambda number, path: how
    waits = []
    reader = FrameReader(index, RemoteFiles(replace(remote, attempts=4), sleep=waits.append))
    with pytest.raises(DamagedShard, match=rf"{server.url}/rooms/heldout/\S+\.tar: sample \S+: .*{told}") as caught:
        reader.read(3)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == requests and len(waits) == requests - 1


def test_a_dataset_behind_a_url_can_be_looked_at(rooms, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))  # the cache stands there by default
    assert main(["shards", "info", f"{server.url}/rooms"]) == 0
    assert f"{(SCENES + 1) * FRAMES} frames" in capsys.readouterr().out
    assert main(["shards", "show", f"{server.url}/rooms/", "--output", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert (tmp_path / ".cache" / "zipmap_pl" / "indexes").is_dir()


def test_what_was_read_is_not_kept_in_memory(rooms, server, remote):
    files = RemoteFiles(remote)
    for offset in range(80):
        files.read(f"{server.url}/rooms/dataset.json", offset, 2)
    assert len(files._held) <= remote_files.HELD


def test_pauses_grow(remote, monkeypatch):
    monkeypatch.setattr(remote_files, "FIRST_WAIT", 0.5)
    waits = []
    files = RemoteFiles(remote, sleep=waits.append)
    for attempt in range(12):
        files.wait(attempt)
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert max(waits) <= remote_files.LONGEST_WAIT


def test_a_missing_shard_is_a_fault_at_once(rooms, tmp_path, remote):
    shutil.copytree(rooms, tmp_path / "own")
    with FaultyServer(tmp_path / "own") as server:
        index = opened(server, remote)
        (tmp_path / "own/rooms" / index.text("shard.path", 0)).unlink()
        with pytest.raises(DamagedShard, match="no such file"):
            FrameReader(index, RemoteFiles(remote, sleep=pytest.fail)).read(0)


def test_the_index_is_fetched_once_and_checked(rooms, server, remote):
    index = opened(server, remote)
    assert index.remote and index.location == f"{server.url}/rooms"
    here = ShardIndex.open(rooms / "rooms")
    assert all(
        np.array_equal(index[name], here[name], equal_nan=index[name].dtype.kind == "f") for name in here.columns
    )
    assert all(isinstance(column.base, np.memmap) or column.size == 0 for column in index.columns.values())
    server.requests.clear()
    assert opened(server, remote).frame_count == index.frame_count
    assert [path for path, _, _ in server.requests] == ["/rooms/dataset.json"]
    server.requests.clear()
    copy = pickle.loads(pickle.dumps(index))
    assert copy.location == index.location and not server.requests


@pytest.mark.parametrize("how", ["fail", "cut", "wrong"])
def test_an_index_survives_a_bad_network_and_a_wrong_one_is_refused(server, remote, how):
    server.behave = lambda number, path: how if number % 3 == 1 and path != "/rooms/dataset.json" else "well"
    assert opened(server, remote).frame_count == (SCENES + 1) * FRAMES
    server.behave = lambda number, path: how if path.endswith("frame.size.npy") else "well"
    with pytest.raises(UserError, match=r"frame\.size\.npy: (cannot be fetched|not the file)") as caught:
        opened(server, replace(remote, cache=remote.cache + "2"))
    assert "\n" not in str(caught.value)
    server.behave = lambda number, path: "well"
    assert opened(server, replace(remote, cache=remote.cache + "2")).frame_count == (SCENES + 1) * FRAMES


def test_datasets_that_are_not_behind_the_url(server, remote):
    nowhere = DatasetConfig(f"{server.url}/nowhere")
    config = DataConfig(train={"nowhere": nowhere}, remote=remote)
    with pytest.raises(UserError, match=r"nowhere/dataset\.json: no such file"):
        ZooDataModule(config).setup()
    allowed = ZooDataModule(replace(config, allow_missing=True))
    allowed.setup()
    assert [line.startswith("left out: ") for line in allowed.describe()] == [True]
    server.behave = lambda number, path: "fail"
    there = replace(config, train={"rooms": DatasetConfig(f"{server.url}/rooms")}, allow_missing=True)
    with pytest.raises(UserError, match=r"cannot be fetched \(status 503\); is the server reachable"):
        ZooDataModule(there).setup()  # not reachable is not the same as not there
    with pytest.raises(UserError, match=r"nosuch://x/rooms.*cannot be read"):
        ShardIndex.open("nosuch://x/rooms", remote)


def config(location, remote, **changes):
    quiet = {"augmentation": AugmentationConfig(colour="none"), "zoom": [1.0, 1.0], "aspect": [1.0, 1.0]}
    sizes = {"width": 28, "views": [2, 4], "images_per_gpu": 8, "workers": 0}
    return DataConfig(train={"rooms": DatasetConfig(location)}, remote=remote, **{**quiet, **sizes, **changes})


def batches(data_config, steps=6):
    for batch in ZooDataModule(data_config, total_steps=steps).train_dataloader():
        entries = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
        yield {name: value.numpy().tobytes() if isinstance(value, Tensor) else value for name, value in entries.items()}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_a_bad_server_are_those_from_the_disk(rooms, server, remote, workers):
    # Workers are forked from a process that has connections of its own: each must make new ones.
    server.behave = lambda number, path: ("well", "cut", "well", "fail", "wrong")[number % 5] if number > 60 else "well"
    wanted = list(batches(config(str(rooms / "rooms"), remote)))
    steady = replace(remote, attempts=9, cache_gigabytes=0.001)
    assert list(batches(config(f"{server.url}/rooms", steady, workers=workers))) == wanted
    server.requests.clear()
    assert list(batches(config(f"{server.url}/rooms", steady, workers=workers))) == wanted
    assert [path for path, _, _ in server.requests] == ["/rooms/dataset.json"], "all frames came from the cache"


def test_a_reader_works_on_both_sides_of_a_fork(rooms, server, remote):
    reader = FrameReader(opened(server, remote), RemoteFiles(remote))
    before = reader.read(0)

    def child(queue):
        queue.put([reader.read(row).image.tobytes() for row in range(1, 8)])

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    here = [reader.read(row).image.tobytes() for row in range(1, 8)]
    assert queue.get(timeout=60) == here
    process.join(60)
    assert np.array_equal(reader.read(0).image, before.image)
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy.read(0).image, before.image)


def test_a_damaged_piece_of_the_cache_is_noticed_and_fetched_again(rooms, server, remote):
    keeping = replace(remote, cache_gigabytes=0.01)
    index = opened(server, keeping)
    wanted = local_frames(rooms)
    assert list(frames_of(FrameReader(index, RemoteFiles(keeping)))) == wanted
    pieces = list((keeping.folder / "frames").glob("??/*"))
    assert len(pieces) == index.frame_count
    for number, piece in enumerate(pieces[:3]):
        data = bytearray(piece.read_bytes())
        data[:] = [byte ^ (place % 50 == 0) for place, byte in enumerate(data)]
        piece.write_bytes((data, data[:10], b"")[number])
    server.requests.clear()
    assert list(frames_of(FrameReader(index, RemoteFiles(keeping)))) == wanted
    assert len(server.requests) == 3
    server.requests.clear()
    assert list(frames_of(FrameReader(index, RemoteFiles(keeping)))) == wanted
    assert not server.requests, "the new pieces were kept"


def total(folder):
    return sum(piece.stat().st_size for piece in folder.glob("??/*"))


def test_the_cache_keeps_its_limit_and_what_was_used_last(tmp_path):
    cache = RangeCache(tmp_path, 1000)
    for number in range(10):
        cache.put("u", number, 100, bytes([number]) * 100)
        os.utime(cache._piece("u", number, 100), ns=(number, number))
    assert total(tmp_path) == 1000
    assert cache.get("u", 0, 100) == bytes(100)  # the oldest is used, so number 1 is now the oldest
    cache.put("u", 10, 100, b"x" * 100)
    assert total(tmp_path) <= 1000
    assert cache.get("u", 1, 100) is None
    assert cache.get("u", 0, 100) == bytes(100) and cache.get("u", 10, 100) == b"x" * 100
    cache.put("u", 11, 2000, bytes(2000))
    assert cache.get("u", 11, 2000) is None, "larger than the whole cache"
    (tmp_path / ".bytes").write_text("rubbish")
    cache.put("u", 12, 100, b"y" * 100)
    assert cache.get("u", 12, 100) == b"y" * 100 and total(tmp_path) <= 1000


def _fill(folder, start):
    cache = RangeCache(folder, 5000)
    for number in range(start, start + 120):
        cache.put("u", number, 100, bytes([number % 256]) * 100)
        found = cache.get("u", number, 100)
        assert found is None or found == bytes([number % 256]) * 100
        assert total_or_more(folder) <= 5000


def total_or_more(folder):
    sizes = []
    for piece in list(folder.glob("??/*")):
        try:
            sizes.append(piece.stat().st_size)
        except FileNotFoundError:
            continue
    return sum(sizes) if len(sizes) < 50 else 5000  # pieces came and went while we counted


def test_several_processes_share_the_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(tmp_path, 60 * n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert 0 < total(tmp_path) <= 5000 and int((tmp_path / ".bytes").read_text()) == total(tmp_path)


def test_a_cache_that_cannot_be_written_is_only_a_pity(rooms, server, remote, caplog):
    remote.folder.mkdir(parents=True)
    (remote.folder / "frames").write_text("in the way")
    keeping = replace(remote, cache_gigabytes=0.01)
    with caplog.at_level(logging.WARNING):
        assert list(frames_of(FrameReader(opened(server, keeping), RemoteFiles(keeping)))) == local_frames(rooms)
    assert sum("cannot be written" in record.getMessage() for record in caplog.records) == 1


def test_other_file_systems_of_fsspec(rooms, remote):
    index = ShardIndex.open(f"file://{rooms}/rooms", remote)
    assert list(frames_of(FrameReader(index, RemoteFiles(remote)))) == local_frames(rooms)
    with pytest.raises(RemoteError, match="no such file"):
        RemoteFiles(remote).read(f"file://{rooms}/none.tar", 0, 5)


def test_a_busy_disk_is_asked_again(tmp_path, monkeypatch):
    (tmp_path / "shard").write_bytes(b"0123456789")
    real, failures, waits = os.pread, [5, 116], []

    def pread(*arguments):
        if failures:
            raise OSError(failures.pop(), "try again")
        return real(*arguments)

    monkeypatch.setattr(os, "pread", pread)
    files = OpenFiles(sleep=waits.append)
    assert files.read(str(tmp_path / "shard"), 2, 3) == b"234" and waits == [0.1, 0.5]
    failures += [5] * 9
    with pytest.raises(OSError, match="try again"):
        files.read(str(tmp_path / "shard"), 2, 3)
    with pytest.raises(FileNotFoundError):
        OpenFiles(sleep=pytest.fail).read(str(tmp_path / "none"), 0, 1)


@pytest.mark.parametrize(("name", "value"), [("timeout", 0), ("attempts", 0), ("cache_gigabytes", -1)])
def test_impossible_settings_of_remote_reading(name, value):
    with pytest.raises(UserError, match=rf"remote\.{name} is {value}"):
        RemoteConfig(**{name: value})
