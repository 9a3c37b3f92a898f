"""Messages of Protocol Buffers without their schema: fields by number. For the few fields that readers need of a message.

A field is a tag (number and kind), then its value: an integer of 1 to 10 bytes, 8 or 4 bytes, or a length and as many
bytes (texts, messages, packed numbers). Unknown fields are skipped. Of a field that should come once, the last one
counts; messages that come several times are merged; repeated numbers may be packed or not, in any mixture: as the
protobuf library does it. A field of another kind than expected is a fault, where that library takes it for unknown.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.preprocess.formats.seekable import open_seekable, read_part, size_of
from zipmap_pl.preprocess.formats.sources import MAX_BYTES
from zipmap_pl.preprocess.raw import RawFault

VARINT, EIGHT, BYTES, GROUP, END_GROUP, FOUR = range(6)
KINDS = ("an integer", "8 bytes", "a length and bytes", "a group", "the end of a group", "4 bytes")
MAX_FIELDS = 1 << 21  # of one message; Waymo's largest, unpacked, have a million
MAX_VALUES = 1 << 23  # of one packed field; numpy takes 24 bytes for each byte of it
MAX_DEPTH = 100  # of groups in groups
MAX_TAG = 1 << 32
MASK = (1 << 64) - 1

Value = int | memoryview


@dataclass(frozen=True)
class Message:
    """A message: number of a field -> its values in order, each with its kind. See `parse`."""

    file: object
    fields: dict[int, list[tuple[int, Value]]]

    def __contains__(self, number: int) -> bool:
        return number in self.fields

    def integer(self, number: int, default: int = 0) -> int:
        """An int32, int64, enum or bool: negative ones too."""
        values = self.integers(number)
        return int(values[-1]) if len(values) else default

    def text(self, number: int, default: str = "") -> str:
        """A string, UTF-8."""
        parts = self._bytes(number)
        try:
            return str(parts[-1], "utf-8") if parts else default
        except UnicodeDecodeError as error:
            raise RawFault(self.file, f"unreadable message: field {number} is no text ({error})") from error

    def data(self, number: int) -> bytes:
        """A field of bytes; empty if it is not there."""
        parts = self._bytes(number)
        return bytes(parts[-1]) if parts else b""

    def message(self, number: int) -> "Message":
        """A message in this one; an empty one if it is not there."""
        parts = self._bytes(number)
        return parse(self.file, parts[0] if len(parts) == 1 else b"".join(parts))

    def messages(self, number: int) -> list["Message"]:
        """The messages of a repeated field."""
        return [parse(self.file, part) for part in self._bytes(number)]

    def integers(self, number: int) -> np.ndarray:
        """Repeated int32, int64, enum or bool [N] int64."""
        return self._numbers(number, VARINT, np.dtype(np.int64))

    def floats(self, number: int) -> np.ndarray:
        """Repeated float [N] float32; for a single one, the last counts."""
        return self._numbers(number, FOUR, np.dtype("<f4"))

    def doubles(self, number: int) -> np.ndarray:
        """Repeated double [N] float64; for a single one, the last counts."""
        return self._numbers(number, EIGHT, np.dtype("<f8"))

    def _bytes(self, number: int) -> list[memoryview]:
        return [value for kind, value in self.fields.get(number, ()) if self._is(number, kind, BYTES)]  # type: ignore[misc]

    def _numbers(self, number: int, expected: int, dtype: np.dtype) -> np.ndarray:
        """Runs of single values and packed ones, joined in their order."""
        parts: list[np.ndarray] = []
        single: list[Value] = []
        for kind, value in [*self.fields.get(number, ()), (BYTES, memoryview(b""))]:
            if self._is(number, kind, expected, BYTES) and kind == expected:
                single.append(value)
                continue
            if single:
                parts.append(_joined(single, dtype))
                single = []
            parts.append(self._unpacked(number, value, dtype))  # type: ignore[arg-type]
        return np.concatenate(parts)

    def _unpacked(self, number: int, packed: memoryview, dtype: np.dtype) -> np.ndarray:
        if dtype.kind == "i":
            return _varints(self.file, packed)
        if len(packed) % dtype.itemsize:
            raise RawFault(
                self.file,
                f"unreadable message: field {number} has {len(packed)} bytes, expected a multiple of {dtype.itemsize}",
            )
        return np.frombuffer(packed, dtype)

    def _is(self, number: int, kind: int, *expected: int) -> bool:
        if kind not in expected:
            text = f"field {number} is {KINDS[kind]}, expected {' or '.join(KINDS[kind] for kind in expected)}"
            raise RawFault(self.file, f"unreadable message: {text}")
        return True


def parse(file: object, data: bytes | memoryview) -> Message:
    """The fields of a message. Their bytes are views of `data`, and are looked at when they are asked for.

    Raises:
        RawFault: cut off, altered, or of more than 2 million fields; it blames `file`.
    """
    view = memoryview(data)
    fields: dict[int, list[tuple[int, Value]]] = {}
    groups: list[int] = []
    place = count = 0
    while place < len(view):
        tag, place = _varint(file, view, place)
        number, kind = tag >> 3, tag & 7
        count += 1
        if not number or tag >= MAX_TAG or kind > FOUR or count > MAX_FIELDS or len(groups) > MAX_DEPTH:
            raise RawFault(file, f"unreadable message: field {number} of kind {kind} after {count} fields")
        value: Value = 0
        if kind == VARINT:
            value, place = _varint(file, view, place)
        elif kind == GROUP:
            groups.append(number)
        elif kind == END_GROUP:
            if not groups or groups.pop() != number:
                raise RawFault(file, f"unreadable message: group {number} ends and did not begin")
        else:
            length, place = _varint(file, view, place) if kind == BYTES else ({EIGHT: 8, FOUR: 4}[kind], place)
            if length > len(view) - place:
                raise RawFault(
                    file, f"unreadable message: field {number} has {length} bytes, {len(view) - place} follow"
                )
            value, place = view[place : place + length], place + length
        if not groups and kind != END_GROUP:
            fields.setdefault(number, []).append((kind, value))
    if groups:
        raise RawFault(file, f"unreadable message: group {groups[-1]} has no end")
    return Message(file, fields)


def places_of(file: Path, number: int) -> np.ndarray:
    """Where the messages of a repeated field of a file are, which itself is one message: [N, 2] uint64, start and length.

    Only tags and lengths are read, so the file may have any size. `read_message` reads one.

    Raises:
        RawFault: missing, cut off, altered.
    """
    places: list[tuple[int, int]] = []
    with open_seekable(file) as stream:
        size, place = size_of(stream), 0
        while place < size:
            stream.seek(place)
            head = memoryview(stream.read(20))
            tag, start = _varint(file, head, 0)
            kind = tag & 7
            length = {EIGHT: 8, FOUR: 4}.get(kind, 0)
            if kind in (VARINT, BYTES):
                value, start = _varint(file, head, start)
                length = value if kind == BYTES else 0
            if not tag >> 3 or tag >= MAX_TAG or kind in (GROUP, END_GROUP) or kind > FOUR:
                raise RawFault(file, f"unreadable message: field {tag >> 3} of kind {kind} at byte {place}")
            if place + start + length > size:
                raise RawFault(file, f"cut off: {size} bytes, expected at least {place + start + length}")
            if (tag >> 3, kind) == (number, BYTES):
                places.append((place + start, length))
            place += start + length
    return np.array(places, np.uint64).reshape(-1, 2)


def read_message(file: Path, start: int, length: int) -> Message:
    """The message at a place that `places_of` found. Raises RawFault if it is damaged or larger than 1 GiB."""
    if length > MAX_BYTES:
        raise RawFault(file, f"a message of {length} bytes, expected at most {MAX_BYTES}")
    with open_seekable(file) as stream:
        return parse(file, read_part(file, stream, int(start), int(length)))


def _varint(file: object, view: memoryview, place: int) -> tuple[int, int]:
    """An integer of up to 10 bytes without its sign, and where it ends."""
    value = 0
    for k in range(10):
        if place + k >= len(view):
            raise RawFault(file, "unreadable message: cut off in an integer")
        byte = view[place + k]
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return value & MASK, place + k + 1
    raise RawFault(file, "unreadable message: an integer of more than 10 bytes")


def _joined(values: list[Value], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "i":
        return np.array(values, np.uint64).view(np.int64)
    return np.frombuffer(b"".join(values), dtype)  # type: ignore[arg-type]


def _varints(file: object, packed: memoryview) -> np.ndarray:
    """All integers of a packed field [N] int64, without a loop over them."""
    if len(packed) > MAX_VALUES:
        raise RawFault(file, f"{len(packed)} bytes of packed integers, expected at most {MAX_VALUES}")
    data = np.frombuffer(packed, np.uint8)
    if not len(data):
        return np.empty(0, np.int64)
    ends = np.flatnonzero(data < 0x80)
    if not len(ends) or ends[-1] != len(data) - 1:
        raise RawFault(file, "unreadable message: cut off in a packed integer")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise RawFault(file, "unreadable message: an integer of more than 10 bytes")
    shifts = (np.arange(len(data)) - np.repeat(starts, lengths)) * 7
    bits = (data & 0x7F).astype(np.uint64) << shifts.astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts).view(np.int64)
