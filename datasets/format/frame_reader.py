"""Any frame of a dataset in shards: its bytes by offset from the index, checked and decoded."""

import errno
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from zipmap_pl.datasets.format.depth_coding import SKY, UNKNOWN, decode_depth, read_codes, read_png
from zipmap_pl.datasets.format.schema import DEPTH_PERCENTILES, PARTS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.remote.remote_files import RemoteConfig, RemoteFiles
from zipmap_pl.errors import UserError
from zipmap_pl.images.decode import is_jpeg, read_image

# Depths are stored to 0.1 %: a depth that equals a limit must not fall on its wrong side.
LIMIT_TOLERANCE = 1e-3

# What a network file system says when it is busy; and what is wrong with this machine, not with the data.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ECONNRESET)
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
PAUSES = (0.1, 0.5, 2.0)  # seconds between attempts


class DamagedShard(UserError):
    """A frame that cannot be read, or not as the index says; the message names the shard and the sample."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame, at the size it is stored in.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        depth: [H, W] float32 planar z in normalised units, 0 = invalid.
        sky: [H, W] bool, infinitely far (and so invalid in `depth`).
        dynamic: [H, W] bool, belongs to a moving object; None where the dataset does not say.
        object: [H, W] bool, belongs to the one object that the scene is about; None where the dataset does not say.
        intrinsics: [4] float64 fx, fy, cx, cy.
        world_to_cam: [3, 4] float64, normalised units.
    """

    image: np.ndarray
    depth: np.ndarray
    sky: np.ndarray
    dynamic: np.ndarray | None
    object: np.ndarray | None
    intrinsics: np.ndarray
    world_to_cam: np.ndarray


class OpenFiles:
    """The most recently used files, kept open: opening is slow on network file systems.

    Reads are by position, so a process that was forked may go on using the handles; one that was spawned opens its own.
    """

    rereads = 1  # how often bytes that are not those of the index are looked at again: the file may have been replaced

    def __init__(self, limit: int = 256, sleep: Callable[[float], None] = time.sleep) -> None:
        self.limit, self.sleep = limit, sleep
        self._handles: OrderedDict[str, int] = OrderedDict()

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file. Errors that pass are tried again."""
        for pause in (*PAUSES, None):
            try:
                return os.pread(self._handle(path), length, offset)
            except OSError as error:
                if pause is None or error.errno not in PASSING:
                    raise
                self.forget(path)
                self.sleep(pause)
        raise AssertionError("unreachable")

    def forget(self, path: str, *_range: int) -> None:
        """Close a file that turned out to be wrong: it may have been replaced, and is opened afresh the next time."""
        handle = self._handles.pop(path, None)
        if handle is not None:
            os.close(handle)

    def fetch(self, ranges: Sequence[tuple[str, int, int]]) -> None:
        """Nothing: a disk is read when it is asked."""

    def wait(self, attempt: int) -> None:
        """Nothing: a disk does not change its mind."""

    def _handle(self, path: str) -> int:
        handle = self._handles.get(path)
        if handle is None:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._handles[path] = handle
            if len(self._handles) > self.limit:
                os.close(self._handles.popitem(last=False)[1])
        self._handles.move_to_end(path)
        return handle

    def close(self) -> None:
        """Close everything."""
        for path in list(self._handles):
            self.forget(path)

    def __reduce__(self) -> tuple:
        return (OpenFiles, (self.limit, self.sleep))

    def __del__(self) -> None:
        self.close()


class FrameReader:
    """Reads frames of one dataset, each byte checked against the index. Can be sent to other processes.

    Args:
        index: the dataset's index.
        files: open or remote files, if they are shared between the readers of a process.
    """

    def __init__(self, index: ShardIndex, files: OpenFiles | RemoteFiles | None = None) -> None:
        self.index = index
        self.files = files or (RemoteFiles(RemoteConfig()) if index.remote else OpenFiles())

    def fetch(self, rows: Sequence[int]) -> None:
        """Tell which frames will be read next: those behind a URL are fetched several at once. Never fails."""
        if self.index.remote:
            self.files.fetch([(self._shard(row), *self._span(row)) for row in rows])

    def read(self, row: int) -> Frame:
        """Decode a frame. Raises DamagedShard if its bytes are not those that the index promises."""
        image, _ = self.picture(row)
        depth, sky = self.depth(row)
        intrinsics, world_to_cam = (
            np.array(self.index[f"frame.{name}"][row]) for name in ("intrinsics", "world_to_cam")
        )
        return Frame(image, depth, sky, self.dynamic(row), self.object(row), intrinsics, world_to_cam)

    def picture(self, row: int, reduction: int = 1) -> tuple[np.ndarray, int]:
        """The picture, decoded `reduction` (1, 2, 4 or 8) times smaller if its format can do that. Raises DamagedShard.

        Returns:
            [H, W, 3] uint8 RGB and the reduction that was made, see `images.decode.read_image`.
        """
        data = self.part(row, "image")
        if data is None:
            raise self.fault(row, "has no image")
        reduction = reduction if is_jpeg(data) else 1
        return self._layer(row, "image", data, lambda data: read_image(data, reduction), reduction), reduction

    def depth(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Depth [H, W] float32 in normalised units, 0 = invalid, and sky [H, W] bool. Raises DamagedShard."""
        codes = self.depth_codes(row)
        near, far = self.index["frame.depth_range"][row]
        return decode_depth(codes, float(near), float(far)), codes == SKY

    def depth_codes(self, row: int) -> np.ndarray:
        """Depth [H, W] uint16 as `depth_coding` codes it, unknown everywhere without depth. Raises DamagedShard."""
        height, width = (int(side) for side in self.index["frame.size"][row])
        codes = self._decoded(row, "depth", lambda data: read_codes(data, (height, width)))
        return np.full((height, width), UNKNOWN, np.uint16) if codes is None else codes

    def dynamic(self, row: int) -> np.ndarray | None:
        """Moving objects [H, W] bool; None where the dataset does not say. Raises DamagedShard."""
        return self._decoded(row, "dynamic", lambda data: read_png(data) > 0)

    def object(self, row: int) -> np.ndarray | None:
        """The scene's one object [H, W] bool; None where the dataset does not say. Raises DamagedShard."""
        return self._decoded(row, "object", lambda data: read_png(data) > 0)

    def part(self, row: int, part: str) -> bytes | None:
        """The checked bytes of one of `schema.PARTS`; None if the frame has no such part. Raises DamagedShard."""
        column = PARTS.index(part)
        offset, length, wanted = (
            int(self.index[f"frame.part_{name}"][row, column]) for name in ("offset", "length", "crc32")
        )
        if length == 0:
            return None
        for attempt in count():
            data = self._bytes(row, part, offset, length)
            found = zlib.crc32(data)
            if len(data) == length and found == wanted:
                return data
            self.files.forget(self._shard(row), *self._span(row))
            if attempt == self.files.rereads:
                break
            self.files.wait(attempt)
        if len(data) != length:
            raise self.fault(row, f"{part} has {len(data)} bytes at {offset}, the index says {length}")
        raise self.fault(row, f"{part} at {offset} has checksum {found:08x}, the index says {wanted:08x}")

    def _bytes(self, row: int, part: str, offset: int, length: int) -> bytes:
        """From a disk the part; from behind a URL the whole frame in one request, of which the part is cut."""
        try:
            if not self.index.remote:
                return self.files.read(self._shard(row), offset, length)
            start, span = self._span(row)
            return self.files.read(self._shard(row), start, span)[offset - start : offset - start + length]
        except OSError as error:
            if error.errno in OURS:
                raise
            what = f"cannot be read ({error.strerror}), wanted {length} bytes of {part} at {offset}"
            remedy = "is the server reachable, and the shard there?" if self.index.remote else None
            raise self.fault(row, what, remedy) from error

    def _shard(self, row: int) -> str:
        return self.index.shard_location(int(self.index["frame.shard"][row]))

    def _span(self, row: int) -> tuple[int, int]:
        """First byte and number of bytes of all parts of a frame; they lie behind each other."""
        offsets, lengths = (self.index[f"frame.part_{name}"][row].astype(np.int64) for name in ("offset", "length"))
        there = lengths > 0
        start = int(offsets[there].min())
        return start, int((offsets + lengths)[there].max()) - start

    def fault(self, row: int, what: str, remedy: str | None = None) -> DamagedShard:
        """The error for a frame, naming shard and sample."""
        again = "copy the shard there again" if self.index.remote else "delete the shard and preprocess again"
        return DamagedShard(f"{self._shard(row)}: sample {self.index.sample_name(row)}: {what}; {remedy or again}")

    def _decoded(self, row: int, part: str, decode: Callable[[bytes], np.ndarray]) -> np.ndarray | None:
        """One part as an array of the frame's size; None if the frame has no such part. Raises DamagedShard."""
        data = self.part(row, part)
        return None if data is None else self._layer(row, part, data, decode)

    def _layer(
        self, row: int, part: str, data: bytes, decode: Callable[[bytes], np.ndarray], reduction: int = 1
    ) -> np.ndarray:
        """The bytes of a part as an array of the frame's size divided by the reduction. Raises DamagedShard."""
        try:
            layer = decode(data)
        except ValueError as error:
            raise self.fault(row, f"{part}: {error}") from error
        height, width = (int(side) for side in self.index["frame.size"][row])
        if layer.shape[:2] != (-(-height // reduction), -(-width // reduction)):
            found = f"{layer.shape[1]} x {layer.shape[0]}"
            raise self.fault(row, f"{part} is {found} pixels, the index says {width} x {height}")
        return layer


def depth_limits(
    index: ShardIndex, row: int, lower: float | None, upper: float | None, max_depth: float | None
) -> tuple[float, float]:
    """Smallest and largest depth of a frame that training may see, in normalised units.

    Args:
        index, row: the frame.
        lower, upper: percentiles over the frame's valid pixels, out of `schema.DEPTH_PERCENTILES`; None = no limit.
        max_depth: metres where the dataset is metric, else its raw unit; None = no limit.
    """
    percentiles = index["frame.depth_percentiles"][row]
    smallest = 0.0 if lower is None else float(percentiles[DEPTH_PERCENTILES.index(lower)])
    largest = float("inf") if upper is None else float(percentiles[DEPTH_PERCENTILES.index(upper)])
    if max_depth is not None:
        scene = int(index["frame.scene"][row])
        metres = float(index["scene.metres_per_unit"][scene])
        largest = min(largest, max_depth / (metres if np.isfinite(metres) else float(index["scene.unit"][scene])))
    return smallest * (1 - LIMIT_TOLERANCE), largest * (1 + LIMIT_TOLERANCE)
