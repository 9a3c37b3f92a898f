"""Parquet in place: columns, and rows of large columns without the rest; damage as faults."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from traced_memory import taken_at_most

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.parquet import opened
from zipmap_pl.preprocess.raw import RawFault

IMAGE, POSE = "[CameraImageComponent].image", "[CameraImageComponent].pose.transform"
IMAGES = [bytes([k]) * (50 + k) for k in range(23)]
POSES = np.random.default_rng(0).normal(size=(23, 16))
STAMPS = np.arange(23) * 100_000 + 1_500_000_000_000_000


@pytest.fixture
def file(tmp_path):
    table = pa.table(
        {
            "key.segment_context_name": ["segment"] * 23,
            "key.frame_timestamp_micros": STAMPS,
            IMAGE: IMAGES,
            POSE: POSES.tolist(),
            f"{POSE}.not": [None] * 23,
            "ragged": [[1.0] * (k % 3) for k in range(23)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=5)
    return tmp_path / "a.parquet"


def test_columns_and_rows_are_read(file):
    with opened(file) as parquet:
        assert parquet.rows == 23
        assert parquet.texts("key.segment_context_name") == ["segment"] * 23
        np.testing.assert_array_equal(parquet.numbers("key.frame_timestamp_micros"), STAMPS)
        np.testing.assert_array_equal(parquet.numbers(POSE), POSES)
        for row in [0, 1, 1, 7, 22, 3, *random.Random(0).choices(range(23), k=20)]:
            assert parquet.value(IMAGE, row) == IMAGES[row]
            np.testing.assert_array_equal(parquet.value(POSE, row), POSES[row])
        assert [len(parquet.value("ragged", row)) for row in range(4)] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (lambda parquet: parquet.numbers("image"), "has no column 'image'"),
        (lambda parquet: parquet.value("[CameraImageComponent]", 0), "has no column"),
        (lambda parquet: parquet.value(IMAGE, 23), "has 23 rows, expected a row 23"),
        (lambda parquet: parquet.value(f"{POSE}.not", 0), "holds nothing"),
        (lambda parquet: parquet.numbers("ragged"), "lists of several lengths"),
        (lambda parquet: parquet.numbers(IMAGE), "expected numbers"),
        (lambda parquet: parquet.texts(IMAGE), "does not hold texts only"),
    ],
)
def test_what_is_of_another_kind_is_a_fault(file, read, reason):
    with opened(file) as parquet, pytest.raises(RawFault, match=reason):
        read(parquet)


def test_a_row_is_read_without_the_others(tmp_path):
    """All rows in one group, in pages of some."""
    image = np.random.default_rng(0).bytes(400_000)
    pq.write_table(
        pa.table({"image": [image] * 40}),
        tmp_path / "a.parquet",
        use_dictionary=False,
        data_page_size=1 << 18,
        write_batch_size=1,
    )
    before = pa.total_allocated_bytes()
    with taken_at_most(8_000_000), opened(tmp_path / "a.parquet") as parquet:
        for row in range(0, 40, 3):
            assert parquet.value("image", row) == image
            assert pa.total_allocated_bytes() - before < 8_000_000


def test_a_column_too_large_to_be_read_whole_is_a_fault(file, monkeypatch):
    monkeypatch.setattr("zipmap_pl.preprocess.formats.parquet.MAX_BYTES", 1000)
    with opened(file) as parquet, pytest.raises(RawFault, match="expected at most 1000"):
        parquet.numbers(POSE)


def test_what_is_missing_or_no_parquet_is_a_fault(tmp_path):
    (tmp_path / "text").write_text("PAR1 text PAR1")
    (tmp_path / "empty").touch()
    for name, reason in (("text", "unreadable"), ("empty", "unreadable"), ("none", "missing"), ("", "is a folder")):
        with pytest.raises(RawFault, match=reason), opened(tmp_path / name):
            pass


def test_altered_and_cut_files_are_faults_or_read(file):
    whole, chance = file.read_bytes(), random.Random(0)
    for number in range(150):
        place = chance.randrange(len(whole))
        cut = number % 5 == 0
        file.write_bytes(whole[:place] if cut else whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            with opened(file) as parquet:
                parquet.numbers(POSE)
                for row in range(min(parquet.rows, 30)):
                    parquet.value(IMAGE, row)
        except RawFault as fault:
            assert fault.file == str(file) and "\n" not in fault.reason


def test_without_the_library_the_extra_is_named(file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"zipmap_pl\[waymo\]"), opened(file):
        pass
