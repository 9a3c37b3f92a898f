"""Long JSON lists, compressed with gzip (the .jgz annotations of CO3Dv2 and Dynamic Replica), one object at a time."""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from zipmap_pl.preprocess.formats.seekable import open_seekable
from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.raw import RawFault

PIECE = 1 << 16  # bytes inflated at once
MAX_OBJECT = 1 << 20  # characters of one object; a frame has about a thousand
SPACE = re.compile(r"[ \t\r\n]*")

_decoder = json.JSONDecoder()


def stream(file: Source) -> Iterator[dict[str, Any]]:
    """The objects of a compressed JSON list in order. Memory does not grow with the list.

    The checksum of gzip is compared after the last object: what is made of the objects is good only once all are read.

    Raises:
        RawFault: missing, damaged, cut off, no list, or a list of something else than objects.
    """
    with open_seekable(file) as compressed, gzip.open(compressed) as inflated:
        text = _Text(file, _pieces(file, inflated))
        text.expect("[", "a list")
        if text.next() != "]":
            yield text.object()
            while text.next() != "]":
                text.expect(",", "a comma or the end of the list")
                yield text.object()
        text.expect("]", "the end of the list")
        if text.next():
            raise RawFault(file, f"unreadable JSON: {text.next()!r} follows its list")


class _Text:
    """The text of a file as far as it is needed: what was used is dropped."""

    def __init__(self, file: Source, source: Iterator[str]) -> None:
        self.file, self.source = file, source
        self.kept, self.place = "", 0

    def more(self) -> bool:
        """Take more of the text, as much again as there is; False at its end."""
        self.kept, self.place = self.kept[self.place :], 0
        parts, wanted = [self.kept], max(1, len(self.kept))
        for piece in self.source:
            parts.append(piece)
            wanted -= len(piece)
            if wanted <= 0:
                break
        self.kept = "".join(parts)
        return len(parts) > 1

    def next(self) -> str:
        """The next character that is no space, which stays; empty at the end."""
        while True:
            self.place = SPACE.match(self.kept, self.place).end()  # type: ignore[union-attr]  # it fits nothing, too
            if self.place < len(self.kept):
                return self.kept[self.place]
            if not self.more():
                return ""

    def expect(self, character: str, what: str) -> None:
        """Go beyond this character."""
        found = self.next()
        if found != character:
            raise RawFault(self.file, f"unreadable JSON: {found!r}, expected {what}" if found else "cut off")
        self.place += 1

    def object(self) -> dict[str, Any]:
        """The next object. One that begins with { is whole only with its }, so more text never makes another of it."""
        found = self.next()
        if found != "{":
            raise RawFault(self.file, f"holds {found!r}, expected a list of objects" if found else "cut off")
        while True:
            try:
                value, self.place = _decoder.raw_decode(self.kept, self.place)
                return value
            except json.JSONDecodeError as error:
                if len(self.kept) - self.place > MAX_OBJECT or not self.more():
                    raise RawFault(self.file, f"unreadable JSON ({error.msg})") from error
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists
                raise RawFault(self.file, f"unreadable JSON ({str(error)[:200]})") from error


def _pieces(file: Source, inflated: gzip.GzipFile) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := inflated.read(PIECE):
            yield decoder.decode(piece)
        decoder.decode(b"", final=True)
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise RawFault(file, f"unreadable gzip of a JSON list ({error})") from error
