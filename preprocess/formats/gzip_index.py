"""Random access to long gzip files: places from which decompression can begin, each with the 32 KiB before it.

Such places are where blocks of deflate begin. indexed-gzip (extra `archives`) finds them, once; the arrays that it makes are
all that is needed to read, which zlib does. A gzip file may have several members one after the other (pigz, cat).
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from zipmap_pl.preprocess.formats.extras import library
from zipmap_pl.preprocess.formats.raw_file import RawFile

SPACING = (
    8 << 20
)  # decompressed bytes between two places: 0.4 % of them are kept, half of them are decompressed for nothing
WINDOW = 1 << 15
PIECE = 1 << 20
TRAILER = 8  # bytes after the blocks of a member: checksum and length
# How indexed-gzip writes its index, as its header zran.h documents: sizes of the file, spacing, window, number of places;
# for each place its compressed and decompressed bytes, bits of the byte before that belong to it, 1 if a window follows.
HEADER, PLACE = struct.Struct("<5s2x2Q3I"), struct.Struct("<2Q2B")
# Two blocks of deflate without contents, of 10 and 93 bits. The first has fixed codes: 3 bits of header, 7 of its end. The
# second has a code of its own; its length is odd, so that a number of both ends at any bit.
EVEN_BLOCK = "010" + "0000000"
ODD_BLOCK = "".join(
    (
        "001"
        + "00000"
        + "00000"
        + "0111",  # own codes: 257 lengths of literals, 1 of distances, by 18 lengths of lengths
        "000" * 2
        + "010"
        + "100"
        + "000" * 13
        + "010",  # of 16, 17, 18, 0, ..., 1 (lowest bit first): 18 has 2, 0 has 1, 1 has 2
        "11" + "1111111" + "11" + "1101011",  # 138 zeros, 118 zeros: no literal
        "10" + "0",  # the end has 1 bit, distances none
        "0",  # the end
    )
)


def find_places(stream: RawFile) -> dict[str, np.ndarray]:
    """The places of a gzip file that is known to be whole, as arrays that `Inflated` reads with.

    Returns:
        gzip_places [N, 3] uint64: byte of the file, byte of its contents, bits of the byte before that belong to it;
        gzip_windows [N, 32768] uint8: the contents before each (zeros at the start of a member).

    Raises:
        UserError: indexed-gzip is not installed.
        ValueError: it cannot follow the file.
    """
    indexed_gzip = library("indexed_gzip", "archives", "reading .tar.gz in place")
    exported = io.BytesIO()
    stream.seek(0)
    try:  # its windows are of 32 KiB, its buffer would be of four spacings
        with indexed_gzip.IndexedGzipFile(fileobj=stream, spacing=SPACING, buffer_size=PIECE) as opened:
            opened.build_full_index()
            opened.export_index(fileobj=exported)
    except indexed_gzip.ZranError as error:
        raise ValueError(str(error)) from error
    data = exported.getvalue()
    *_, count = HEADER.unpack_from(data)
    rows = [PLACE.unpack_from(data, HEADER.size + k * PLACE.size) for k in range(count)]
    windows = np.zeros((count, WINDOW), np.uint8)
    begin = HEADER.size + count * PLACE.size
    for row, (*_, has_window) in enumerate(rows):
        if has_window:
            windows[row] = np.frombuffer(data, np.uint8, WINDOW, begin)
            begin += WINDOW
    return {"gzip_places": np.array(rows, np.uint64).reshape(-1, 4)[:, :3], "gzip_windows": windows}


class Inflated:
    """The contents of a gzip file, read at any place by the arrays of `find_places`. Going forward costs nothing extra."""

    def __init__(self, stream: RawFile, arrays: dict[str, np.ndarray]) -> None:
        self._stream = stream
        self._places = arrays["gzip_places"].astype(np.int64)
        self._windows = arrays["gzip_windows"]
        self._pieces: Iterator[bytes] = iter(())
        self._place, self._kept = -1, b""  # where `_kept` begins; a negative place is nowhere

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes from `start`. Raises zlib.error or EOFError for damage, and errors of the system."""
        row = int(np.searchsorted(self._places[:, 1], start, "right")) - 1
        if not max(self._places[row, 1], 0) <= self._place <= start:
            self._pieces, self._place, self._kept = self._from(row), int(self._places[row, 1]), b""
        try:
            return self._forward(start, count)
        except BaseException:
            self._place = -1
            raise

    def _forward(self, start: int, count: int) -> bytes:
        parts = []
        while True:
            if self._place + len(self._kept) > start:
                part = self._kept[start - self._place :][:count]
                parts.append(part)
                start, count = start + len(part), count - len(part)
            if not count:
                return b"".join(parts)
            self._place += len(self._kept)
            self._kept = b""
            if (piece := next(self._pieces, None)) is None:
                raise EOFError("its end comes too early")
            self._kept = piece

    def _from(self, row: int) -> Iterator[bytes]:
        """The contents from a place on, in pieces, to the end of the last member."""
        start, _, bits = self._places[row].tolist()
        self._stream.seek(start - (bits > 0))
        data = primed(bits, self._stream.read(1)[0]) if bits else b""
        inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=self._windows[row].tobytes())
        trailer = TRAILER
        while True:
            while not inflate.eof:
                data = data or self._stream.read(PIECE)
                piece = inflate.decompress(data, PIECE)
                if not (piece or data or inflate.eof):
                    raise EOFError("cut off")
                data = inflate.unconsumed_tail
                if piece:
                    yield piece
            data = inflate.unused_data
            if len(data) <= trailer:
                data += self._stream.read(PIECE)
            data = data[trailer:]
            if not data.strip(b"\0"):  # some pad with zeros
                return
            inflate, trailer = zlib.decompressobj(zlib.MAX_WBITS + 16), 0


def primed(bits: int, byte: int) -> bytes:
    """The start of a deflate stream without contents that ends with the upper `bits` (1 to 7) of a byte.

    What follows continues as if decompression had begun in the middle of that byte: zlib can do that (inflatePrime), but
    Python's zlib cannot.
    """
    blocks = next(
        text for count in range(4) if (len(text := ODD_BLOCK * (bits % 2) + EVEN_BLOCK * count) + bits) % 8 == 0
    )
    text = blocks + f"{byte >> (8 - bits):0{bits}b}"[::-1]
    return int(text[::-1], 2).to_bytes(len(text) // 8, "little")
