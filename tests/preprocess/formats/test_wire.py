"""Messages of Protocol Buffers: what the protobuf library writes and reads, and what it refuses."""

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from traced_memory import taken_at_most

from zipmap_pl.preprocess.formats import wire
from zipmap_pl.preprocess.formats.wire import parse, places_of, read_message
from zipmap_pl.preprocess.raw import RawFault

FIELD = descriptor_pb2.FieldDescriptorProto
FIELDS = [
    ("number", 1, FIELD.TYPE_INT32, FIELD.LABEL_OPTIONAL),
    ("time", 2, FIELD.TYPE_INT64, FIELD.LABEL_OPTIONAL),
    ("name", 3, FIELD.TYPE_STRING, FIELD.LABEL_OPTIONAL),
    ("image", 4, FIELD.TYPE_BYTES, FIELD.LABEL_OPTIONAL),
    ("doubles", 5, FIELD.TYPE_DOUBLE, FIELD.LABEL_REPEATED),
    ("floats", 6, FIELD.TYPE_FLOAT, FIELD.LABEL_REPEATED),
    ("integers", 7, FIELD.TYPE_INT32, FIELD.LABEL_REPEATED),
    ("inner", 8, FIELD.TYPE_MESSAGE, FIELD.LABEL_OPTIONAL),
    ("views", 9, FIELD.TYPE_MESSAGE, FIELD.LABEL_REPEATED),
    ("unknown", 200_000, FIELD.TYPE_STRING, FIELD.LABEL_REPEATED),
    ("fixed", 11, FIELD.TYPE_FIXED64, FIELD.LABEL_OPTIONAL),
]


def message_class(packed):
    """The protobuf library's class for a message of these fields, with repeated numbers packed or not."""
    name = f"{'packed' if packed else 'plain'}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name, syntax="proto2")
    message = file.message_type.add(name="Frame")
    for field, number, kind, label in FIELDS:
        added = message.field.add(name=field, number=number, type=kind, label=label)
        if kind == FIELD.TYPE_MESSAGE:
            added.type_name = f".{name}.Frame"
        if field in ("doubles", "floats", "integers"):
            added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{name}.Frame"))


CLASSES = {packed: message_class(packed) for packed in (False, True)}
INT32 = st.integers(-(2**31), 2**31 - 1)
FRAMES = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "number": INT32,
            "time": st.integers(-(2**63), 2**63 - 1),
            "name": st.text(max_size=5),
            "image": st.binary(max_size=5),
            "doubles": st.lists(st.floats(), max_size=4),
            "floats": st.lists(st.floats(width=32), max_size=4),
            "integers": st.lists(INT32, max_size=4),
            "unknown": st.lists(st.text(max_size=3), max_size=2),
            "fixed": st.integers(0, 2**64 - 1),
        },
    ),
    lambda inner: st.fixed_dictionaries({}, optional={"inner": inner, "views": st.lists(inner, max_size=3)}),
    max_leaves=5,
)


def same(ours, theirs):
    """Assert that all fields are what the protobuf library says, whichever message of ours has no such field."""
    assert ours.integer(1) == theirs.number
    assert ours.integer(2) == theirs.time
    assert ours.text(3) == theirs.name
    assert ours.data(4) == theirs.image
    assert np.array_equal(ours.doubles(5), np.array(theirs.doubles, np.float64), equal_nan=True)
    assert np.array_equal(ours.floats(6), np.array(theirs.floats, np.float32), equal_nan=True)
    assert ours.integers(7).tolist() == list(theirs.integers)
    assert (8 in ours) == theirs.HasField("inner")
    if 8 in ours:
        same(ours.message(8), theirs.inner)
    assert len(ours.messages(9)) == len(theirs.views)
    for mine, other in zip(ours.messages(9), theirs.views, strict=True):
        same(mine, other)


@given(content=FRAMES, packed=st.booleans())
def test_what_the_library_writes_is_read_packed_or_not(content, packed):
    theirs = CLASSES[packed](**content)
    same(parse("a.pb", theirs.SerializeToString()), theirs)


@given(first=FRAMES, second=FRAMES, packed=st.booleans())
def test_a_field_that_comes_again_is_replaced_joined_or_merged(first, second, packed):
    data = CLASSES[False](**first).SerializeToString() + CLASSES[packed](**second).SerializeToString()
    theirs = CLASSES[True]()
    theirs.ParseFromString(data)
    same(parse("a.pb", data), theirs)


@given(content=FRAMES, end=st.integers(0, 200))
def test_a_cut_message_is_a_fault_or_what_the_library_reads(content, end):
    data = CLASSES[True](**content).SerializeToString()
    agree(data[: end % (len(data) + 1)])


@given(content=FRAMES, packed=st.booleans(), place=st.integers(0, 200), value=st.integers(0, 255))
def test_an_altered_message_is_a_fault_or_what_the_library_reads(content, packed, place, value):
    data = bytearray(CLASSES[packed](**content).SerializeToString() or b"\0")
    data[place % len(data)] = value
    agree(bytes(data))


@given(data=st.binary(max_size=30))
def test_any_bytes_are_a_fault_or_what_the_library_reads(data):
    agree(data)


def agree(data):
    """What we read without a fault, the library reads too, and the same; but for int32, of which it keeps 32 bits."""
    theirs = CLASSES[True]()
    try:
        theirs.ParseFromString(data)
    except DecodeError:
        with pytest.raises(RawFault):
            everything(parse("a.pb", data))
        return
    try:
        ours = parse("a.pb", data)
        everything(ours)
    except RawFault:
        return
    if all(-(2**31) <= value < 2**31 for value in [*ours.integers(7), ours.integer(1)]):
        assert ours.integers(7).tolist() == list(theirs.integers)
        assert ours.integer(1) == theirs.number
    assert ours.data(4) == theirs.image
    assert len(ours.messages(9)) == len(theirs.views)


def everything(message):
    message.integer(1), message.integer(2), message.text(3), message.data(4)
    message.doubles(5), message.floats(6), message.integers(7)
    message.text(200_000)
    for inner in [*([message.message(8)] if 8 in message else []), *message.messages(9)]:
        everything(inner)


def test_fields_that_are_missing_have_defaults():
    empty = parse("a.pb", b"")
    assert (empty.integer(1, 7), empty.text(2, "x"), empty.data(3)) == (7, "x", b"")
    assert [len(values) for values in (empty.doubles(4), empty.floats(4), empty.integers(4), empty.messages(4))] == [
        0
    ] * 4
    assert empty.message(5).fields == {}


def test_a_field_of_another_kind_is_a_fault():
    data = CLASSES[False](number=3, doubles=[1.0]).SerializeToString()
    with pytest.raises(
        RawFault, match=r"a\.pb: unreadable message: field 1 is an integer, expected a length and bytes"
    ):
        parse("a.pb", data).text(1)
    with pytest.raises(RawFault, match="field 5 is 8 bytes, expected 4 bytes or a length and bytes"):
        parse("a.pb", data).floats(5)


def test_groups_are_skipped_and_must_end():
    group = bytes([0x53, 0x08, 0x07, 0x5B, 0x5C, 0x54])  # group 10 holding field 1 and group 11
    assert parse("a.pb", group + b"\x08\x05").integers(1).tolist() == [5]
    for broken in (group[:-1], group + b"\x54", b"\x53\x5c", b"\x53" * 200):
        with pytest.raises(RawFault, match="unreadable message"):
            parse("a.pb", broken)


def test_many_packed_integers_are_read_without_a_loop():
    values = np.random.default_rng(0).integers(-(2**31), 2**31, 100_000)
    theirs = CLASSES[True](integers=values.tolist())
    assert np.array_equal(parse("a.pb", theirs.SerializeToString()).integers(7), values)


def test_a_message_of_nothing_but_tags_is_refused(monkeypatch):
    monkeypatch.setattr(wire, "MAX_FIELDS", 1000)
    assert len(parse("a.pb", b"\x08\x01" * 1000).integers(1)) == 1000
    with pytest.raises(RawFault, match="after 1001 fields"):
        parse("a.pb", b"\x08\x01" * 1001)


def test_lengths_that_lie_take_no_memory():
    with taken_at_most(100_000), pytest.raises(RawFault, match=r"has 1099511627776 bytes, 3 follow"):
        parse("a.pb", b"\x22\x80\x80\x80\x80\x80\x20abc")


def test_messages_of_a_large_file_are_found_without_reading_them(tmp_path):
    views = [{"number": k, "image": bytes(2_000_000)} for k in range(5)]
    theirs = CLASSES[False](name="scene", number=4, fixed=1, floats=[1.0], views=views)
    (tmp_path / "a.pb").write_bytes(theirs.SerializeToString())
    with taken_at_most(200_000):
        places = places_of(tmp_path / "a.pb", 9)
    assert places.dtype == np.uint64
    assert [read_message(tmp_path / "a.pb", *place).integer(1) for place in places] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\x4a\x05abc", "cut off: 5 bytes, expected at least 7"),
        (b"\x4a\xff\xff\xff\xff\xff\xff\xff\xff\x7fabc", "cut off"),
        (b"\x4a" + b"\xff" * 30, "more than 10 bytes"),
        (b"\x4b", "field 9 of kind 3 at byte 0"),
        (b"\x4f", "field 9 of kind 7 at byte 0"),
        (b"\0\1", "field 0"),
    ],
)
def test_files_that_are_no_messages_are_faults(tmp_path, data, reason):
    (tmp_path / "a.pb").write_bytes(data)
    with pytest.raises(RawFault, match=reason):
        places_of(tmp_path / "a.pb", 9)


def test_a_place_beyond_the_file_is_a_fault(tmp_path):
    (tmp_path / "a.pb").write_bytes(b"\x08\x01")
    with taken_at_most(100_000), pytest.raises(RawFault, match="cut off: 2 bytes"):
        read_message(tmp_path / "a.pb", 1, 1 << 29)
