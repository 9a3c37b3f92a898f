"""Streams of a scene, which lie behind each other among its planned frames, and the sizes that its images must have."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from zipmap_pl.datasets.format.schema import MAX_STREAMS
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.raw import SIZES, RawFrame, RawScene

Size = tuple[int, int]
Streams = Sequence[tuple[str, int]]


def check_streams(scene: RawScene) -> None:
    """Raise UserError for a reader's mistake: streams that are not the scene's frames, or sizes that make no sense."""
    names, counts = [name for name, _ in scene.streams], [count for _, count in scene.streams]
    for holds, what in (
        (not names or sum(counts) == len(scene.frames), f"{sum(counts)} frames in streams, {len(scene.frames)} in all"),
        (all(count > 0 for count in counts), f"streams of {counts} frames, expected 1 or more in each"),
        (
            len(set(names)) == len(names) <= MAX_STREAMS,
            f"streams {names}, expected different names, {MAX_STREAMS} at most",
        ),
        (scene.sizes in SIZES, f"sizes is {scene.sizes!r}, expected one of {', '.join(SIZES)}"),
        (scene.sizes != "of streams" or len(names) > 0, "sizes of streams, but it has none"),
    ):
        if not holds:
            raise UserError(f"scene {scene.name!r}: the reader lists {what}")


def spans(streams: Streams, frame_count: int) -> list[range]:
    """Ordinals of each stream; all frames for a scene that has none."""
    ends = list(accumulate(count for _, count in streams)) or [frame_count]
    return [range(first, end) for first, end in zip([0, *ends[:-1]], ends, strict=True)]


def stream_of(streams: Streams, ordinals: np.ndarray) -> np.ndarray:
    """Number of the stream [n] of each ordinal [n]; 0 in a scene that has none."""
    ends = np.cumsum([count for _, count in streams], dtype=np.int64)
    return np.searchsorted(ends[:-1], ordinals, side="right")


def with_every_stream(places: list[int], streams: Streams, frame_count: int) -> list[int]:
    """The places, and the middle of each stream that has none of them."""
    missed = [span for span in spans(streams, frame_count) if not any(place in span for place in places)]
    return sorted({*places, *(span[len(span) // 2] for span in missed)})


def first_frames(scene: RawScene, count: int) -> RawScene:
    """The scene with its first `count` frames only; of several streams, the first ones of each."""
    if not scene.streams:
        return replace(scene, frames=scene.frames[:count])
    most = max(1, count // len(scene.streams))
    kept = [span[:most] for span in spans(scene.streams, len(scene.frames))]
    streams = tuple((name, len(span)) for (name, _), span in zip(scene.streams, kept, strict=True))
    return replace(scene, frames=tuple(scene.frames[place] for span in kept for place in span), streams=streams)


def sizes_of(scene: RawScene, seen: Mapping[int, RawFrame]) -> tuple[Size | None, tuple[Size | None, ...]]:
    """The size of all images of a scene and those of each stream, height and width; None and () = may be any.

    The most common ones of the frames that were seen, by their place. Where none was seen, any will do.
    """
    if scene.sizes == "any":
        return None, ()
    if scene.sizes == "one":
        return _most_common(seen.values()), ()
    return None, tuple(
        _most_common(frame for place, frame in seen.items() if place in span)
        for span in spans(scene.streams, len(scene.frames))
    )


def _most_common(frames: Iterable[RawFrame]) -> Size | None:
    counts = Counter((frame.image.shape[0], frame.image.shape[1]) for frame in frames)
    return counts.most_common(1)[0][0] if counts else None
