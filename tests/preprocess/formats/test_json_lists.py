"""Compressed JSON lists, an object at a time: what Python's own writers write, bounded memory, damage as faults."""

import gzip
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_memory import taken_at_most

from zipmap_pl.preprocess.formats.json_lists import stream
from zipmap_pl.preprocess.formats.sources import Zipped
from zipmap_pl.preprocess.raw import RawFault

FRAME = {"sequence_name": "110_13051_23361", "viewpoint": {"R": [[1, 0, 0]] * 3, "T": [0.5, -1e-7, 3]}, "mask": None}
FRAMES = [FRAME | {"frame_number": k, "path": f'a]}}[{{,\\" {k} ü €'} for k in range(300)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def written(file, text, level=6):
    file.write_bytes(gzip.compress(text if isinstance(text, bytes) else text.encode(), level))
    return file


@pytest.mark.parametrize("options", [{}, {"indent": 3}, {"separators": (",", ":"), "ensure_ascii": False}])
def test_objects_come_in_order(tmp_path, options):
    assert list(stream(written(tmp_path / "a.jgz", json.dumps(FRAMES, **options)))) == FRAMES


@given(objects=st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=5), ascii=st.booleans())
def test_any_objects_are_read_as_the_standard_library_reads_them(tmp_path_factory, objects, ascii):
    file = written(tmp_path_factory.getbasetemp() / "any.jgz", json.dumps(objects, ensure_ascii=ascii))
    assert list(stream(file)) == objects


def test_an_object_that_spans_many_pieces_is_read(tmp_path):
    objects = [{"a": "x" * 300_000}, {"b": ["ü" * 100_000] * 3}]
    assert list(stream(written(tmp_path / "a.jgz", json.dumps(objects, ensure_ascii=False)))) == objects


def test_members_of_archives_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jgz", gzip.compress(json.dumps(FRAMES).encode()))
    assert list(stream(Zipped(tmp_path / "a.zip", "a.jgz"))) == FRAMES


def test_memory_does_not_grow_with_the_list(tmp_path):
    with gzip.open(tmp_path / "a.jgz", "wt", compresslevel=1) as file:
        file.write("[" + json.dumps(FRAMES)[1:-1])
        for _ in range(100):
            file.write("," + json.dumps(FRAMES)[1:-1])
        file.write("]")
    with taken_at_most(3_000_000):
        assert sum(1 for _ in stream(tmp_path / "a.jgz")) == 101 * 300


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cut off"),
        ("{}", "'{', expected a list"),
        ("[1]", "holds '1', expected a list of objects"),
        ("[[]]", "expected a list of objects"),
        ("[{}", "cut off"),
        ("[{},", "cut off"),
        ("[{},]", "expected a list of objects"),
        ("[{} {}]", "expected a comma or the end of the list"),
        ("[{}] []", "follows its list"),
        ('[{"a": ]}]', "unreadable JSON"),
        ('[{"a": ' + "9" * 5000 + "}]", "unreadable JSON"),
        ('[{"a": ' + "[" * 100_000, "unreadable JSON"),
        (b'[{"a": "\xff"}]', "utf-8"),
        (b'[{"a": "\xc3', "utf-8"),
    ],
)
def test_other_files_are_faults(tmp_path, text, reason):
    with pytest.raises(RawFault, match=reason):
        list(stream(written(tmp_path / "a.jgz", text)))


def test_what_is_not_compressed_missing_or_empty_is_a_fault(tmp_path):
    (tmp_path / "plain").write_text("[{}]")
    (tmp_path / "empty").touch()
    for name, reason in (("plain", "gzip"), ("empty", "empty file"), ("none", "missing"), ("", "is a folder")):
        with pytest.raises(RawFault, match=reason):
            list(stream(tmp_path / name))


@pytest.mark.parametrize("text", [b" " * 50_000_000, b'[{"a": "' + b"x" * 50_000_000])
def test_what_inflates_to_much_more_takes_no_memory(tmp_path, text):
    written(tmp_path / "a.jgz", text, level=1)
    del text
    with taken_at_most(8_000_000), pytest.raises(RawFault):
        for _ in stream(tmp_path / "a.jgz"):
            pass


WHOLE = gzip.compress(json.dumps(FRAMES[:5]).encode())


@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(1, 255), cut=st.booleans())
def test_a_cut_or_altered_file_is_a_fault_or_changes_nothing(tmp_path_factory, place, value, cut):
    file = tmp_path_factory.getbasetemp() / "damaged.jgz"
    file.write_bytes(WHOLE[:place] if cut else WHOLE[:place] + bytes([WHOLE[place] ^ value]) + WHOLE[place + 1 :])
    try:
        assert list(stream(file)) == FRAMES[:5]
    except RawFault as fault:
        assert fault.file == str(file)
