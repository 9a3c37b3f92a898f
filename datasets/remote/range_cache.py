"""A folder that keeps what was fetched, up to a size, for all processes of a machine."""

import hashlib
import logging
import os
from pathlib import Path

from zipmap_pl.files import locked

logger = logging.getLogger(__name__)

KEPT_SHARE = (
    0.9  # of the limit, after the oldest pieces had to go: they are looked for now and then, not at every write
)
INCOMING = ".incoming"
TALLY = ".bytes"


class RangeCache:
    """Ranges of remote files as small files; those that were used least recently go first.

    Nothing is trusted: whoever reads a piece checks it (against the index), and calls `drop` if it is not what was
    promised. One lock makes writers wait for each other; readers never wait, and find a piece whole or not at all. A
    process that is killed leaves at most one unfinished file, which the next writer overwrites. A disk that is full or
    refuses to be written ends the keeping, not the run.

    Args:
        folder: of this machine; made if it is not there.
        max_bytes: of all pieces together; never exceeded.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._usable = True

    def get(self, url: str, offset: int, length: int) -> bytes | None:
        """The piece, or None. Unchecked but for its length."""
        piece = self._piece(url, offset, length)
        try:
            data = piece.read_bytes()
            os.utime(piece)
        except OSError:
            return None
        return data if len(data) == length else None

    def put(self, url: str, offset: int, length: int, data: bytes) -> None:
        """Keep a piece; others go where there is no room."""
        if not self._usable or len(data) > self.max_bytes:
            return
        try:
            with locked(self.folder / ".lock"):
                self._write(self._piece(url, offset, length), data)
        except OSError as error:
            self._usable = False
            logger.warning("%s: cannot be written (%s); going on without keeping frames", self.folder, error.strerror)

    def drop(self, url: str, offset: int, length: int) -> None:
        """Forget a piece that turned out to be wrong."""
        self._piece(url, offset, length).unlink(missing_ok=True)

    def _piece(self, url: str, offset: int, length: int) -> Path:
        name = hashlib.sha256(f"{url} {offset} {length}".encode()).hexdigest()
        return self.folder / name[:2] / name[2:]

    def _write(self, piece: Path, data: bytes) -> None:
        """Under the lock. The tally is written before the piece: a kill between them makes it too large, not too small."""
        tally = self.folder / TALLY
        try:
            total = int(tally.read_text())
        except (OSError, ValueError):
            total = self._make_room(self.max_bytes)
        if total + len(data) > self.max_bytes:
            total = self._make_room(max(0, int(KEPT_SHARE * self.max_bytes) - len(data)))
        tally.write_text(str(total + len(data)))
        incoming = self.folder / INCOMING
        incoming.write_bytes(data)
        piece.parent.mkdir(exist_ok=True)
        os.replace(incoming, piece)

    def _make_room(self, wanted: int) -> int:
        """Remove the pieces that were used least recently until at most `wanted` bytes are left; how many are."""
        pieces = []
        for path in self.folder.glob("??/*"):
            try:
                found = path.stat()
            except FileNotFoundError:  # somebody dropped it
                continue
            pieces.append((found.st_mtime_ns, found.st_size, path))
        total = sum(size for _, size, _ in pieces)
        for _, size, path in sorted(pieces):
            if total <= wanted:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total
