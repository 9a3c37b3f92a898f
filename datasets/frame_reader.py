"""Any frame of a dataset in shards: its bytes by offset from the index, checked and decoded."""

import os
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from zipmap_pl.datasets.depth_coding import read_depth, read_png
from zipmap_pl.datasets.schema import DEPTH_PERCENTILES, PARTS
from zipmap_pl.datasets.shard_index import DamagedShard, ShardIndex

# Depths are stored to 0.1 %: a depth that equals a limit must not fall on its wrong side.
LIMIT_TOLERANCE = 1e-3


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
    """Reads frames of one dataset. Can be sent to other processes.

    Args:
        index: the dataset's index.
        files: open files, shared between the readers of a process.
    """

    def __init__(self, index: ShardIndex, files: OpenFiles) -> None:
        self.index = index
        self.files = files

    def read(self, row: int) -> Frame:
        """Decode a frame. Raises DamagedShard if its bytes are not those that the index promises."""
        image = cv2.imdecode(np.frombuffer(self.part(row, "image") or b"\0", np.uint8), cv2.IMREAD_COLOR_RGB)
        size = tuple(int(side) for side in self.index["frame.size"][row])
        if image is None or image.shape[:2] != size:
            found = "no picture" if image is None else f"a picture of {image.shape[1]} x {image.shape[0]}"
            raise self.fault(row, f"image decodes to {found}, the index says {size[1]} x {size[0]} pixels")
        dynamic = self.part(row, "dynamic")
        try:
            depth, sky = self._depth(row, size)
            moving = None if dynamic is None else read_png(dynamic) > 0
        except ValueError as error:
            raise self.fault(row, str(error)) from error
        return Frame(
            image=image,
            depth=depth,
            sky=sky,
            dynamic=moving,
            intrinsics=np.array(self.index["frame.intrinsics"][row]),
            world_to_cam=np.array(self.index["frame.world_to_cam"][row]),
        )

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

    def _depth(self, row: int, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        data = self.part(row, "depth")
        if data is None:
            return np.zeros(size, np.float32), np.zeros(size, bool)
        depth, sky = read_depth(data, self.index["frame.depth_range"][row])
        if depth.shape != size:
            raise self.fault(
                row, f"depth is {depth.shape[1]} x {depth.shape[0]}, the picture {size[1]} x {size[0]} pixels"
            )
        return depth, sky


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


def clip_depth(depth: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """The depth map with everything outside the limits set to 0 (invalid)."""
    return np.where((depth >= limits[0]) & (depth <= limits[1]), depth, np.float32(0))
