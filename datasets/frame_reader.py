"""Any frame of a dataset in shards: its bytes by offset from the index, checked and decoded."""

import os
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zipmap_pl.datasets.depth_coding import SKY, UNKNOWN, decode_depth, read_codes, read_png
from zipmap_pl.datasets.picture_coding import can_reduce, read_picture
from zipmap_pl.datasets.schema import DEPTH_PERCENTILES, PARTS
from zipmap_pl.datasets.shard_index import ShardIndex
from zipmap_pl.errors import UserError

# Depths are stored to 0.1 %: a depth that equals a limit must not fall on its wrong side.
LIMIT_TOLERANCE = 1e-3


class DamagedShard(UserError):
    """A shard that does not hold what the index says; the message names the shard and the sample."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame, at the size it is stored in.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        depth: [H, W] float32 planar z in normalised units, 0 = invalid.
        sky: [H, W] bool, infinitely far (and so invalid in `depth`).
        dynamic: [H, W] bool, belongs to a moving object; None where the dataset does not say.
        intrinsics: [4] float64 fx, fy, cx, cy.
        world_to_cam: [3, 4] float64, normalised units.
    """

    image: np.ndarray
    depth: np.ndarray
    sky: np.ndarray
    dynamic: np.ndarray | None
    intrinsics: np.ndarray
    world_to_cam: np.ndarray


class OpenFiles:
    """The most recently used files, kept open: opening is slow on network file systems.

    Reads are by position, so a process that was forked may go on using the handles; one that was spawned opens its own.
    """

    def __init__(self, limit: int = 256) -> None:
        self.limit = limit
        self._handles: OrderedDict[str, int] = OrderedDict()

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        handle = self._handles.get(path)
        if handle is None:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._handles[path] = handle
            if len(self._handles) > self.limit:
                os.close(self._handles.popitem(last=False)[1])
        self._handles.move_to_end(path)
        return os.pread(handle, length, offset)

    def forget(self, path: str) -> None:
        """Close a file that turned out to be wrong: it may have been replaced, and is opened afresh the next time."""
        handle = self._handles.pop(path, None)
        if handle is not None:
            os.close(handle)

    def close(self) -> None:
        """Close everything."""
        for path in list(self._handles):
            self.forget(path)

    def __reduce__(self) -> tuple:
        return (OpenFiles, (self.limit,))

    def __del__(self) -> None:
        self.close()


class FrameReader:
    """Reads frames of one dataset, each byte checked against the index. Can be sent to other processes.

    Args:
        index: the dataset's index.
        files: open files, if they are shared between the readers of a process.
    """

    def __init__(self, index: ShardIndex, files: OpenFiles | None = None) -> None:
        self.index = index
        self.files = files or OpenFiles()

    def read(self, row: int) -> Frame:
        """Decode a frame. Raises DamagedShard if its bytes are not those that the index promises."""
        image, _ = self.picture(row)
        depth, sky = self.depth(row)
        intrinsics, world_to_cam = (
            np.array(self.index[f"frame.{name}"][row]) for name in ("intrinsics", "world_to_cam")
        )
        return Frame(image, depth, sky, self.dynamic(row), intrinsics, world_to_cam)

    def picture(self, row: int, reduction: int = 1) -> tuple[np.ndarray, int]:
        """The picture, decoded `reduction` (1, 2, 4 or 8) times smaller if its format can do that. Raises DamagedShard.

        Returns:
            [H, W, 3] uint8 RGB and the reduction that was made, see `picture_coding.read_picture`.
        """
        data = self.part(row, "image")
        if data is None:
            raise self.fault(row, "has no image")
        reduction = reduction if can_reduce(data) else 1
        return self._layer(row, "image", data, lambda data: read_picture(data, reduction), reduction), reduction

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

    def part(self, row: int, part: str) -> bytes | None:
        """The checked bytes of one of `schema.PARTS`; None if the frame has no such part. Raises DamagedShard."""
        column = PARTS.index(part)
        offset, length, wanted = (
            int(self.index[f"frame.part_{name}"][row, column]) for name in ("offset", "length", "crc32")
        )
        if length == 0:
            return None
        path = str(self.index.shard_file(int(self.index["frame.shard"][row])))
        try:
            data = self.files.read(path, offset, length)
        except OSError as error:
            raise self.fault(
                row, f"cannot be read ({error.strerror}), wanted {length} bytes of {part} at {offset}"
            ) from error
        if len(data) != length:
            self.files.forget(path)
            raise self.fault(row, f"{part} has {len(data)} bytes at {offset}, the index says {length}")
        found = zlib.crc32(data)
        if found != wanted:
            self.files.forget(path)
            raise self.fault(row, f"{part} at {offset} has checksum {found:08x}, the index says {wanted:08x}")
        return data

    def fault(self, row: int, what: str) -> DamagedShard:
        """The error for a frame, naming shard and sample."""
        shard = self.index.shard_file(int(self.index["frame.shard"][row]))
        return DamagedShard(
            f"{shard}: sample {self.index.sample_name(row)}: {what}; delete the shard and preprocess again"
        )

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
