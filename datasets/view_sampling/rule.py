"""What a rule of view sampling is, and what it sees of a scene."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zipmap_pl.checks import fault
from zipmap_pl.datasets.format.shard_index import ShardIndex

FULL_OVERLAP = 255  # how the index writes an overlap of 1


@dataclass(frozen=True)
class SceneFrames:
    """The frames of one scene, as rules see them: counted from 0, among those that the shards hold, in order.

    Attributes:
        frame_count: number of frames.
        neighbour_rows: [frame_count, k] integers, for each frame the frames that see the same, -1 = none.
        overlap_rows: [frame_count, k] uint8, the share of the frame's pixels that the neighbour sees too, 255 = all.
        streams: [frame_count] integers that never fall, the number of each frame's stream; None = all are one stream.
    """

    frame_count: int
    neighbour_rows: np.ndarray
    overlap_rows: np.ndarray
    streams: np.ndarray | None = None

    @classmethod
    def of_index(cls, index: ShardIndex, scene: int) -> "SceneFrames":
        """The frames of scene number `scene` of an index; nothing is read before it is asked for."""
        rows = index.scene_rows(scene)
        here = slice(rows.start, rows.stop)
        columns = (index[f"frame.{name}"][here] for name in ("neighbours", "neighbour_overlap", "stream"))
        return cls(len(rows), *map(np.asarray, columns))  # rows of a plain array are found faster than of a memmap

    def stream_at(self, frame: int) -> range:
        """All frames of the stream that a frame belongs to."""
        if self.streams is None:
            return range(self.frame_count)
        return range(*(int(np.searchsorted(self.streams, self.streams[frame], side)) for side in ("left", "right")))

    def draw_stream(self, rng: np.random.Generator, other: bool = False) -> range:
        """The stream of a random frame, or another one; its frames. With one stream only, the generator is not asked."""
        if self.streams is None or self.streams[0] == self.streams[-1]:
            return range(self.frame_count)
        stream = self.stream_at(int(rng.integers(self.frame_count)))
        if not other:
            return stream
        place = int(rng.integers(self.frame_count - len(stream)))
        return self.stream_at(place if place < stream.start else place + len(stream))

    def neighbours(self, frame: int) -> list[tuple[int, float]]:
        """(frame, overlap in 0 .. 1) of all that the index knows to overlap with a frame, the best first."""
        frames, overlaps = self.neighbour_rows[frame].tolist(), self.overlap_rows[frame].tolist()
        return [(other, o / FULL_OVERLAP) for other, o in zip(frames, overlaps, strict=True) if other >= 0 and o > 0]


class ViewRule(Protocol):
    """A rule: a frozen dataclass whose fields are the keys of `sampling` in conf/data."""

    def draw(self, rng: np.random.Generator, scene: SceneFrames, count: int) -> np.ndarray:
        """[count] int64, each in 0 .. frame_count - 1. The first is the reference view."""


def expect(holds: bool, name: str, found: object, wanted: str) -> None:
    """Raise ValueError for a rule's field that makes no sense; `make_rule` says in which rule of which dataset."""
    if not holds:
        raise ValueError(fault(name, found, wanted))


def expect_probability(name: str, found: float) -> None:
    """Raise ValueError for a field that is no probability."""
    expect(0 <= found <= 1, name, found, "a number from 0 to 1")
