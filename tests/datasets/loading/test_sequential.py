"""Streaming with webdataset: the same frames, each once in a pass, in batches of the same shapes; damage is named."""

import pickle
import shutil
from dataclasses import fields

import numpy as np
import pytest
import webdataset
from faulty_server import FaultyServer

from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule, open_dataset
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig
from zipmap_pl.datasets.loading.faults import TooManyFaults
from zipmap_pl.datasets.loading.mixture import Pick
from zipmap_pl.datasets.loading.samples import SampleReader, frame_readers
from zipmap_pl.datasets.loading.sequential import StreamedFrames, WindowStream
from zipmap_pl.datasets.remote import remote_files
from zipmap_pl.datasets.remote.remote_files import RemoteConfig, RemoteFiles
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions

SCENES, FRAMES = 6, 8


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed") / "rooms"
    options = SceneOptions(width=28, height=28, views=FRAMES, moving_objects=1)
    settings = EngineSettings(lossless=True, frames_per_shard=12)  # scenes go on in the next shard
    preprocess(SyntheticReader(options, SCENES, 1), folder, settings, workers=1)
    return folder


@pytest.fixture
def own(rooms, tmp_path):
    return ShardIndex.open(shutil.copytree(rooms, tmp_path / "own"))


def config(location, **changes):
    quiet = {"augmentation": AugmentationConfig(colour="none"), "zoom": [1.0, 1.0], "aspect": [0.5, 1.0]}
    sizes = {"width": 28, "views": [2, 4], "images_per_gpu": 8, "workers": 0, "reading": "sequential", "window": 5}
    return DataConfig(train={"rooms": DatasetConfig(str(location))}, **{**quiet, **sizes, **changes})


def stream(location, part=0, parts=1, **changes):
    settings = config(location, **changes)
    dataset = open_dataset(settings.train["rooms"], settings.remote)
    return WindowStream(dataset, settings, RemoteFiles(settings.remote), part, parts, [0])


def one_pass(windows):
    return [window for shard in windows.shards for window in windows._windows_of(int(shard))]


def values(item):
    return tuple(np.asarray(getattr(item, entry.name)).tobytes() for entry in fields(item))


def test_every_frame_comes_once_and_is_the_one_that_the_index_gives(rooms):
    windows = stream(rooms, min_frames=1)
    index = windows.dataset.index
    streamed, anywhere = StreamedFrames(index), FrameReader(index)
    seen = []
    for window in one_pass(windows):
        assert 1 <= len(window.rows) <= 5
        assert {int(index["frame.scene"][row]) for row in window.rows} == {window.scene}
        streamed.window = window
        for row in window.rows:
            assert values(streamed.read(row)) == values(anywhere.read(row))
        seen += window.rows
    train = np.isin(index["frame.scene"], windows.dataset.scenes)
    assert sorted(seen) == np.flatnonzero(train).tolist()


def test_plain_webdataset_gives_the_same_frames(rooms):
    index = ShardIndex.open(rooms)
    urls = [str(index.shard_file(shard)) for shard in range(index.shard_count)]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert len(samples) == index.frame_count
    reader = FrameReader(index)
    for row, sample in enumerate(samples):
        assert np.array_equal(sample["png"], reader.read(row).image)


def batches(settings, steps=8, start=0):
    return list(ZooDataModule(settings, start_step=start, total_steps=steps).train_dataloader())


@pytest.mark.parametrize("kind", [{}, {"batches": "state_query"}, {"batches": "streaming", "views": [3, 3]}])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_have_the_shapes_of_the_other_way_and_the_frames_of_one_window(rooms, workers, kind):
    streamed = batches(config(rooms, workers=workers, **kind))
    anywhere = batches(config(rooms, reading="random", **kind))
    assert [batch.number for batch in streamed] == list(range(8))
    for one, other in zip(streamed, anywhere, strict=True):
        assert one.images.shape == other.images.shape and one.input_count == other.input_count
        assert int((one.frames.max(dim=1).values - one.frames.min(dim=1).values).max()) < 5
    dataset = open_dataset(config(rooms).train["rooms"])
    reader = SampleReader([dataset], frame_readers([dataset], RemoteConfig()))
    names = [dataset.index.text("scene.name", scene) for scene in range(dataset.index.scene_count)]
    for batch in streamed:
        for place, name in enumerate(batch.scene):
            assert name.startswith("train")
            pick = Pick(0, names.index(name), batch.frames[place].numpy())
            wanted = reader.read(pick, batch.images.shape[-2:], np.ones(len(pick.positions)))
            assert np.array_equal(batch.images[place].numpy().transpose(0, 2, 3, 1), wanted.images)
            assert np.array_equal(batch.depth[place].numpy(), wanted.depth)


def test_the_same_run_again_is_the_same_and_one_that_goes_on_sees_others(rooms):
    def seen(start):
        return [(batch.number, batch.scene, batch.frames.tolist()) for batch in batches(config(rooms), 30, start)]

    assert seen(0) == seen(0)
    assert [number for number, _, _ in seen(20)] == list(range(20, 30))
    assert seen(20) != seen(0)[20:]


def test_ranks_and_workers_share_the_shards(rooms):
    parts = [set(stream(rooms, part, 3).shards.tolist()) for part in range(3)]
    everything = set(stream(rooms).shards.tolist())
    assert set.union(*parts) == everything and sum(map(len, parts)) == len(everything)
    assert set(stream(rooms, 70, 100).shards.tolist()) == everything, "more workers than shards: nobody is idle"


def test_windows_come_in_a_random_order_each_once_in_a_pass(rooms):
    windows = stream(rooms, buffer=4)
    count = len(one_pass(windows))
    order = [tuple(windows.take().rows) for _ in range(2 * count)]
    assert len(set(order[: count - 4])) == count - 4
    assert set(order) == {tuple(window.rows) for window in one_pass(windows)}
    plain = stream(rooms, buffer=1)
    assert [tuple(plain.take().rows) for _ in range(count)] != order[:count]


def test_neighbours_outside_of_a_window_are_not_seen(rooms):
    for window in one_pass(stream(rooms)):
        index = ShardIndex.open(rooms)
        scene = window.visible(index)
        assert scene.frame_count == len(window.rows)
        first = index.scene_rows(window.scene).start
        for place, row in enumerate(window.rows):
            known = {first + int(other) for other in index["frame.neighbours"][row] if other >= 0}
            assert {window.rows[other] for other, _ in scene.neighbours(place)} <= known & set(window.rows)


def test_damage_is_named_and_the_rest_goes_on(own):
    file = own.shard_file(int(own["frame.shard"][own.frame_count - 1]))
    row = int(np.flatnonzero(own["frame.shard"] == own["frame.shard"][own.frame_count - 1])[0])
    data = bytearray(file.read_bytes())
    data[int(own["frame.part_offset"][row, 0]) + 60] ^= 1
    file.write_bytes(data)
    cut = own.shard_file(int(own["frame.shard"][own.frame_count - 1]) - 1)
    cut.write_bytes(cut.read_bytes()[:7000])
    seen = batches(config(own.folder, views=[4, 4]), 40)
    faults = {fault.split(":")[0] for batch in seen for fault in batch.faults}
    assert faults == {str(file), str(cut)}
    assert len(seen) == 40


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_readable_stops_with_one_line(own, workers):
    for shard in range(own.shard_count):
        own.shard_file(shard).write_bytes(b"x" * 2000)
    with pytest.raises(TooManyFaults, match=r"no shard has 2 frames .*the last fault: .*\.tar") as caught:
        batches(config(own.folder, workers=workers))
    assert "\n" not in str(caught.value)


def test_streams_from_a_bad_server_are_those_from_the_disk(rooms, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_files, "FIRST_WAIT", 0.0)
    remote = RemoteConfig(cache=str(tmp_path), timeout=20.0, attempts=6)
    with FaultyServer(rooms) as server:
        server.behave = lambda number, path: ("well", "cut", "fail")[number % 3] if path.endswith(".tar") else "well"
        there = one_pass(stream(server.url, remote=remote))
        here = one_pass(stream(rooms))
    assert [window.rows for window in there] == [window.rows for window in here]
    assert [window.parts for window in there] == [window.parts for window in here]


def test_it_travels_to_a_spawned_process(rooms):
    loader = ZooDataModule(config(rooms), start_step=3, total_steps=5).train_dataloader()
    copy = pickle.loads(pickle.dumps(loader.dataset))
    assert [batch.number for batch in copy] == [batch.number for batch in loader.dataset] == [3, 4]


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="reading is 'sequentially', expected one of random, sequential"):
        DataConfig(reading="sequentially")
