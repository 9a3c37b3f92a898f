"""No changed bit of dataset.json or of the index is read by a run, and the check costs nothing the second time."""

import json
import os
import shutil
from pathlib import Path

import pytest
from flipped_bits import flipped
from stamp_batches import stamp_config

from zipmap_pl.cli.main import main
from zipmap_pl.datasets import data_module
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.format import index_check
from zipmap_pl.datasets.format.dataset_file import pack_dataset_file, parse_dataset_file
from zipmap_pl.datasets.format.index_check import open_checked
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.remote.remote_files import RemoteConfig
from zipmap_pl.errors import UserError

OLD = Path(__file__).parents[2] / "data" / "before_rooms" / "shards"


@pytest.fixture
def cache(tmp_path: Path) -> RemoteConfig:
    """A cache of its own."""
    return RemoteConfig(cache=str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_check, "CHECKED_FOLDER", "checked")


def nothing_is_read(*_: object) -> list[str]:
    raise AssertionError("the columns were read")


def refused(work: object, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        work(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# dataset.json


@pytest.mark.parametrize("count", [1500, pytest.param(10**9, marks=pytest.mark.long)])
def test_no_flipped_bit_of_dataset_json_is_accepted(stamps: Path, count: int) -> None:
    data = (stamps / "dataset.json").read_bytes()
    seal = len(data) - 90  # every bit of the checksum itself
    damaged = [*flipped(data, count), *(data[:seal] + tail for tail in flipped(data[seal:], 10**9))]
    for bits in damaged:
        assert "dataset.json: " in refused(parse_dataset_file, bits, "dataset.json")


def test_a_dataset_json_without_a_checksum_of_its_own_is_read(stamps: Path, own_stamps: Path) -> None:
    assert ShardIndex.open(OLD).frame_count == 16
    file = own_stamps / "dataset.json"
    contents = parse_dataset_file(file.read_bytes(), "")
    file.write_text(json.dumps(contents, indent=1))
    assert ShardIndex.open(own_stamps).info == ShardIndex.open(stamps).info


def test_exchanged_splits_are_refused_with_and_without_a_checksum(own_stamps: Path) -> None:
    file = own_stamps / "dataset.json"
    text = file.read_text()
    exchanged = text.replace('"heldout"', '"x"', 1).replace('"train"', '"heldout"', 1).replace('"x"', '"train"', 1)
    file.write_text(exchanged)
    assert "checksum" in refused(ShardIndex.open, own_stamps)
    file.write_text(json.dumps(parse_dataset_file(text.encode(), "") | {"splits": ["train", "heldout"]}))
    assert "expected them sorted" in refused(ShardIndex.open, own_stamps)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b'{"schema_version": null, "splits": []}', b"\xff"])
def test_what_is_no_dataset_json_is_refused_in_one_line(data: bytes) -> None:
    assert refused(parse_dataset_file, data, "dataset.json").startswith("dataset.json: damaged")


def test_finish_writes_a_damaged_dataset_json_again(stamps: Path, own_stamps: Path) -> None:
    whole = (stamps / "dataset.json").read_bytes()
    for damaged in flipped(whole, 1):
        (own_stamps / "dataset.json").write_bytes(damaged)
        assert main(["shards", "finish", str(own_stamps)]) == 0
        assert (own_stamps / "dataset.json").read_bytes() == whole


# The index


@pytest.mark.parametrize("count", [1, pytest.param(100, marks=pytest.mark.long)])
def test_no_flipped_bit_of_a_column_is_accepted(own_stamps: Path, cache: RemoteConfig, count: int) -> None:
    for file in sorted((own_stamps / "index").iterdir()):
        whole = file.read_bytes()
        for damaged in flipped(whole, count):
            file.write_bytes(damaged)
            assert file.name in refused(open_checked, own_stamps, cache)
        file.write_bytes(whole)
    assert open_checked(own_stamps, cache).frame_count == 64


def test_a_changed_focal_length_is_refused_where_a_run_starts(own_stamps: Path, cache: RemoteConfig) -> None:
    file = own_stamps / "index/frame.intrinsics.npy"
    data = bytearray(file.read_bytes())
    data[128 + 7] ^= 64  # of the exponent of the first fx
    file.write_bytes(data)
    data_module = ZooDataModule(stamp_config(own_stamps, remote=cache))
    assert "frame.intrinsics.npy: checksum differs" in refused(data_module.setup)
    for action in ("info", "show"):
        assert main(["shards", action, str(own_stamps)]) == 2


def test_finish_writes_a_damaged_index_again(stamps: Path, own_stamps: Path, cache: RemoteConfig) -> None:
    name = "index/frame.intrinsics.npy"
    (own_stamps / name).write_bytes(next(flipped((stamps / name).read_bytes(), 1)))
    (own_stamps / "index/scene.unit.npy").unlink()
    assert main(["shards", "finish", str(own_stamps)]) == 0
    open_checked(own_stamps, cache)
    assert (own_stamps / name).read_bytes() == (stamps / name).read_bytes()


# Once


def test_a_checked_index_is_not_read_again(stamps: Path, cache: RemoteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    open_checked(stamps, cache)
    monkeypatch.setattr(index_check, "damaged_columns", nothing_is_read)
    open_checked(stamps, cache)
    ZooDataModule(stamp_config(stamps, remote=cache)).setup()


@pytest.mark.parametrize("change", ["time", "inode", "size", "dataset.json"])
def test_an_index_that_was_touched_since_is_read_again(
    own_stamps: Path, cache: RemoteConfig, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    open_checked(own_stamps, cache)
    file = own_stamps / "index/scene.unit.npy"
    status = file.stat()
    if change == "time":
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "inode":
        shutil.copy2(file, file.with_name("new"))
        file.with_name("new").replace(file)
    elif change == "size":
        file.write_bytes(file.read_bytes() + b"\0")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        contents = parse_dataset_file((own_stamps / change).read_bytes(), "")
        (own_stamps / change).write_bytes(pack_dataset_file(contents | {"licence": "another"}))
    read = []
    monkeypatch.setattr(index_check, "damaged_columns", lambda *_: iter(read))
    read.append("read again")
    assert refused(open_checked, own_stamps, cache) == "read again"


@pytest.mark.parametrize("spoil", [b"", b"nonsense", None])
def test_a_memory_that_is_damaged_or_cannot_be_written_only_means_reading_again(
    stamps: Path, cache: RemoteConfig, spoil: bytes | None
) -> None:
    open_checked(stamps, cache)
    (memory,) = (cache.folder / "checked").iterdir()
    written = memory.read_bytes()
    if spoil is None:
        memory.unlink()
        memory.mkdir()
    else:
        memory.write_bytes(spoil)
    assert open_checked(stamps, cache).frame_count == 64
    assert spoil is None or memory.read_bytes() == written


def test_other_ranks_do_not_check(stamps: Path, cache: RemoteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module.rank_zero_only, "rank", 1)
    monkeypatch.setattr(index_check, "damaged_columns", nothing_is_read)
    ZooDataModule(stamp_config(stamps, remote=cache)).setup()


# Under a running job


def test_an_index_that_was_cut_since_it_was_opened_is_named(own_stamps: Path, cache: RemoteConfig) -> None:
    data = ZooDataModule(stamp_config(own_stamps, remote=cache))
    data.setup()
    assert data.lost_index() is None
    file = own_stamps / "index/frame.world_to_cam.npy"
    size = file.stat().st_size
    os.truncate(file, 100)
    assert data.lost_index().startswith(f"{file}: has 100 bytes, {size} when this run opened it; ")
