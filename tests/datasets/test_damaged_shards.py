"""Every way in which a shard can be wrong: what comes out is what was written, or an error that names shard and sample."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from stamp_batches import plain, stamp_config

from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule, open_dataset
from zipmap_pl.datasets.format.frame_reader import DamagedShard, Frame, FrameReader
from zipmap_pl.datasets.format.schema import PARTS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.datasets.loading.faults import TooManyFaults
from zipmap_pl.datasets.loading.sequential import StreamedFrames, WindowStream
from zipmap_pl.datasets.remote.remote_files import RemoteFiles
from zipmap_pl.errors import UserError

Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def pixels(frame: Frame) -> tuple[bytes, ...]:
    dynamic = b"" if frame.dynamic is None else frame.dynamic.tobytes()
    return frame.image.tobytes(), frame.depth.tobytes(), frame.sky.tobytes(), dynamic


def stream(config: DataConfig) -> WindowStream:
    dataset = open_dataset(config.train["stamps"])
    return WindowStream(dataset, config, RemoteFiles(config.remote), 0, 1, [0])


def one_pass(windows: WindowStream) -> Iterator[tuple[int, tuple[bytes, ...] | None]]:
    """(row, pixels or None where it is refused) of everything that one look at every shard gives."""
    reader = StreamedFrames(windows.dataset.index)
    for shard in windows.shards:
        for window in windows._windows_of(int(shard)):
            reader.window = window
            for row in window.rows:
                yield row, read(reader, row)


def read(reader: FrameReader, row: int) -> tuple[bytes, ...] | None:
    try:
        return pixels(reader.read(row))
    except DamagedShard as damage:
        told = str(damage)
        assert ".tar: sample " in told and reader.index.sample_name(row) in told and "\n" not in told
        return None


def train_shard(index: ShardIndex) -> int:
    """A shard of the training split with two scenes in it."""
    return next(s for s in range(index.shard_count) if "/train/" in str(index.shard_file(s)))


def test_a_stream_cut_anywhere_gives_whole_frames_and_says_what_is_missing(own_stamps):
    config = stamp_config(own_stamps, window=5, min_frames=1)
    index = ShardIndex.open(own_stamps)
    shard = train_shard(index)
    file = index.shard_file(shard)
    whole = file.read_bytes()
    last, decoded = np.flatnonzero(index["frame.shard"] == shard)[-1], PARTS.index("camera")  # the index has the camera
    end = int((index["frame.part_offset"] + index["frame.part_length"])[last, :decoded].max())
    cuts = {*range(0, end, 512), *np.random.default_rng(0).integers(0, end, 30).tolist(), len(whole)}
    for cut in sorted(cuts, reverse=True):
        file.write_bytes(whole[:cut])
        windows = stream(config)
        windows.shards = np.array([shard])
        if cut == len(whole):
            wanted = dict(one_pass(windows))
            continue
        seen = list(one_pass(windows))
        assert len({row for row, _ in seen}) == len(seen)
        assert all(found is None or found == wanted[row] for row, found in seen)
        whole_ones = {row for row, found in seen if found is not None}
        assert whole_ones < wanted.keys(), "the frame that was cut is never whole"
        assert whole_ones < dict(seen).keys() or any(
            fault.startswith(f"{file}: sample ") for fault in windows.faults
        ), cut


# Archives that are sound, but not the ones that the index describes.


def rewrite(file: Path, change: Change) -> None:
    with tarfile.open(file) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]
    change(members)
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))


def without_a_picture(members: list) -> None:
    del members[0]


def with_one_twice(members: list) -> None:
    members.insert(1, members[0])


def torn_apart(members: list) -> None:
    members.append(members.pop(1))


def two_exchanged(members: list) -> None:
    (one, first), (_, second) = members[0], members[4]
    other = members[4][0]
    one.size, other.size = len(second), len(first)
    members[0], members[4] = (one, second), (other, first)


def a_stranger(members: list) -> None:
    member = tarfile.TarInfo("000000-nobody/999999.png")
    member.size = 3
    members.insert(0, (member, b"abc"))


def a_longer_member(members: list) -> None:
    member, data = members[2]
    member.size += 700
    members[2] = (member, data + bytes(700))


CHANGES = [without_a_picture, with_one_twice, torn_apart, two_exchanged, a_stranger, a_longer_member]


@pytest.mark.parametrize("change", CHANGES)
def test_another_archive_than_the_index_describes_is_found_by_every_reader(own_stamps, change):
    config = stamp_config(own_stamps, window=5, min_frames=1)
    index = ShardIndex.open(own_stamps)
    wanted = dict(one_pass(stream(config)))
    shard = train_shard(index)
    file = index.shard_file(shard)
    rewrite(file, change)

    problems = verify(own_stamps)
    assert problems and "sample " in problems[0] and all(str(file) in problem for problem in problems)

    rows = [row for row in wanted if int(index["frame.shard"][row]) == shard]
    anywhere = {row: read(FrameReader(index), row) for row in rows}
    assert all(found is None or found == wanted[row] for row, found in anywhere.items())
    assert change is torn_apart or None in anywhere.values()

    windows = stream(config)
    streamed = list(one_pass(windows))
    assert len({row for row, _ in streamed}) == len(streamed), "no frame twice"
    assert all(found is None or found == wanted[row] for row, found in streamed)
    told = any(fault.startswith(f"{file}: sample ") for fault in windows.faults)
    assert told or any(found is None for _, found in streamed) or change is a_longer_member
    others = {row for row in wanted if int(index["frame.shard"][row]) != shard}
    assert {row for row, found in streamed if found is not None} >= others


@pytest.mark.parametrize("size", [0, 17, 10**7])
def test_a_header_that_lies_about_the_size_is_found(own_stamps, size):
    config = stamp_config(own_stamps, window=5, min_frames=1)
    index = ShardIndex.open(own_stamps)
    wanted = dict(one_pass(stream(config)))
    shard = train_shard(index)
    file = index.shard_file(shard)
    row = int(np.flatnonzero(index["frame.shard"] == shard)[1])
    header = int(index["frame.part_offset"][row, 0]) - 512
    data = bytearray(file.read_bytes())
    member = tarfile.TarInfo.frombuf(bytes(data[header : header + 512]), "utf-8", "strict")
    member.size = size
    data[header : header + 512] = member.tobuf(tarfile.USTAR_FORMAT)[:512]
    file.write_bytes(data)
    problems = verify(own_stamps)
    assert problems and str(file) in problems[0]
    assert read(FrameReader(index), row) == wanted[row], "offsets come from the index"
    windows = stream(config)
    streamed = list(one_pass(windows))
    assert all(found is None or found == wanted[row] for row, found in streamed)
    assert (row, wanted[row]) not in streamed
    told = any(fault.startswith(f"{file}: sample ") for fault in windows.faults)
    assert told or (row, None) in streamed


def test_the_index_of_another_dataset_reads_nothing(own_stamps, tmp_path):
    from zipmap_pl.preprocess.engine.run import preprocess
    from zipmap_pl.preprocess.engine.settings import EngineSettings
    from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
    from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions

    options = SceneOptions(width=16, height=16, views=8, moving_objects=1)
    settings = EngineSettings(lossless=True, frames_per_shard=12)
    preprocess(SyntheticReader(options, 5, 3, seed=1), tmp_path / "other", settings, workers=1)
    shutil.rmtree(own_stamps / "index")
    shutil.copytree(tmp_path / "other" / "index", own_stamps / "index")
    index = ShardIndex.open(own_stamps)
    assert all(read(FrameReader(index), row) is None for row in range(index.frame_count))
    assert "checksum differs from dataset.json" in verify(own_stamps)[0]


def test_columns_of_unequal_lengths_are_refused(own_stamps):
    file = own_stamps / "index" / "frame.ordinal.npy"
    np.save(file, np.load(file)[:-1])
    with pytest.raises(UserError, match=r"frame\.ordinal\.npy: .*expected") as caught:
        ShardIndex.open(own_stamps)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", range(0, 128, 3))
def test_a_column_with_a_damaged_header_is_refused_by_name(own_stamps, place):
    file = own_stamps / "index" / "frame.shard.npy"
    whole = file.read_bytes()
    for bit in range(8):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        try:
            ShardIndex.open(own_stamps)  # some bits change nothing: spaces, for one
        except UserError as refused:
            assert file.name in str(refused) and "\n" not in str(refused)


@pytest.mark.long
def test_verify_finds_every_flipped_bit_of_a_dataset(own_stamps):
    generator = np.random.default_rng(1)
    kept_for_speed = {".lock", "finished.json"}  # what they say is looked at again
    files = sorted(file for file in own_stamps.rglob("*") if file.is_file() and file.name not in kept_for_speed)
    for _ in range(1000):
        file = files[int(generator.integers(len(files)))]
        whole = file.read_bytes()
        if not whole:
            continue
        data = bytearray(whole)
        data[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
        file.write_bytes(data)
        try:
            assert any(str(file) in problem for problem in verify(own_stamps))
        except UserError as refused:
            assert file.name in str(refused) and "\n" not in str(refused)  # not even opened
        file.write_bytes(whole)
    assert verify(own_stamps) == []


# While training.


def test_a_shard_mended_behind_an_open_handle_is_read_at_once(own_stamps):
    index = ShardIndex.open(own_stamps)
    file, good, bad = index.shard_file(0), *np.flatnonzero(index["frame.shard"] == 0)[:2].tolist()
    whole = file.read_bytes()
    wanted = read(FrameReader(index), bad)
    data = bytearray(whole)
    data[int(index["frame.part_offset"][bad, 0]) + 20] ^= 1
    file.write_bytes(data)
    reader = FrameReader(index)
    reader.read(good)  # the damaged file is open now
    mended = file.with_name("mended")
    mended.write_bytes(whole)
    mended.replace(file)
    assert read(reader, bad) == wanted


@pytest.mark.parametrize("workers", [0, 1])
def test_shards_exchanged_while_training_never_show_other_data(own_stamps, workers):
    config = stamp_config(own_stamps, workers=workers, prefetch=1, views=[2, 2], max_faults=50)
    clean = [plain(batch) for batch in ZooDataModule(config, total_steps=30).train_dataloader()]
    index = ShardIndex.open(own_stamps)
    first = train_shard(index)
    one, other = index.shard_file(first), index.shard_file(first + 1)
    faulty = 0
    for number, batch in enumerate(ZooDataModule(config, total_steps=30).train_dataloader()):
        if number == 3:  # in place: handles that are open see it at once
            data = one.read_bytes(), other.read_bytes()
            one.write_bytes(data[1]), other.write_bytes(data[0])
        if batch.faults:
            faulty += 1
            assert all(fault.startswith((f"{one}: sample ", f"{other}: sample ")) for fault in batch.faults)
        else:
            assert plain(batch) == clean[number]
    assert faulty > 5


def test_a_store_that_goes_away_stops_the_run_at_the_next_sample(own_stamps):
    config = stamp_config(own_stamps, max_faults=8)
    batches = iter(ZooDataModule(config, total_steps=100).train_dataloader())
    for _ in range(20):
        assert next(batches).faults == []
    for file in own_stamps.glob("train/*.tar"):
        os.truncate(file, 0)
    with pytest.raises(TooManyFaults, match=r"^9 samples in a row cannot be read, the last one: .*\.tar: sample "):
        next(batches)


def test_validation_names_what_it_cannot_read(own_stamps):
    for file in own_stamps.glob("heldout/*.tar"):
        file.unlink()
    heldout = {"stamps": DatasetConfig(str(own_stamps), split="heldout")}
    with pytest.raises(DamagedShard, match=r"heldout/\S+\.tar: sample heldout\S+/\S+: cannot be read"):
        list(ZooDataModule(stamp_config(own_stamps, validation=heldout)).val_dataloader())
