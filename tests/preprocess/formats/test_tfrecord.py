"""TFRecords that TensorBoard's writer writes; damage is found by the checksums."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.summary.writer.record_writer import RecordWriter
from traced_memory import taken_at_most

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.tfrecord import find_records, read_record
from zipmap_pl.preprocess.raw import RawFault

DATA = [b"abc", b"", bytes(range(256)) * 3]


def written(file, data):
    with file.open("wb") as stream:
        writer = RecordWriter(stream)
        for record in data:
            writer.write(record)
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("tfrecord") / "a", DATA).read_bytes()


def read_all(file):
    found = find_records(file)
    return [read_record(file, *place) for place in found.places], found.end


def test_what_tensorboard_writes_is_read(tmp_path):
    assert read_all(written(tmp_path / "a", DATA)) == (DATA, "")


def test_the_published_bytes_of_a_record_are_read(tmp_path):
    (tmp_path / "a").write_bytes(bytes.fromhex("0300000000000000 b099490e 616263 6e57f121"))
    assert read_all(tmp_path / "a") == ([b"abc"], "")


def test_data_are_not_read_when_records_are_found(tmp_path):
    written(tmp_path / "a", [bytes(300_000)] * 5)
    with taken_at_most(200_000):
        assert len(find_records(tmp_path / "a").places) == 5


@given(cut=st.integers(1, 1000))
def test_a_cut_last_record_is_said_and_the_others_are_read(tmp_path_factory, whole, cut):
    file = tmp_path_factory.getbasetemp() / "cut"
    file.write_bytes(whole[: max(1, len(whole) - cut)])
    data, end = read_all(file)
    assert data == DATA[: len(data)]
    lengths = [sum(16 + len(record) for record in DATA[:k]) for k in range(4)]
    assert (end == "") == (file.stat().st_size in lengths)
    if end:
        assert end.startswith(f"cut off in record {len(data)}: {file.stat().st_size} bytes, expected at least ")


@given(place=st.integers(0, 1000), value=st.integers(1, 255))
def test_an_altered_byte_is_said_or_a_fault_of_its_record(tmp_path_factory, whole, place, value):
    file = tmp_path_factory.getbasetemp() / "altered"
    data = bytearray(whole)
    data[place % len(data)] ^= value
    file.write_bytes(data)
    found = find_records(file)
    lost = 3 - len(found.places)
    assert (lost > 0) == ("does not fit its checksum" in found.end)
    for wanted, where in zip(DATA, found.places, strict=False):
        try:
            assert read_record(file, *where) == wanted
        except RawFault as fault:
            assert "does not fit its checksum" in fault.reason
            lost += 1
    assert lost >= 1


def test_a_length_that_lies_with_a_right_checksum_takes_no_memory(tmp_path):
    """More than there is, and more than a record may have."""
    written(tmp_path / "a", [b"abc"])
    with taken_at_most(100_000), pytest.raises(RawFault, match="cut off: 19 bytes"):
        read_record(tmp_path / "a", 12, 1 << 27)
    with pytest.raises(RawFault, match="expected at most 268435456"):
        read_record(tmp_path / "a", 12, 1 << 40)


def test_missing_and_empty_files_are_faults(tmp_path):
    (tmp_path / "empty").touch()
    for name, reason in (("none", "missing"), ("empty", "empty file"), ("", "is a folder")):
        with pytest.raises(RawFault, match=reason):
            find_records(tmp_path / name)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(UserError, match=r'"zipmap_pl\[waymo\]"'):
        find_records(written(tmp_path / "a", DATA))
