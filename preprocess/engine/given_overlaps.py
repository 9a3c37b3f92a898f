"""Overlaps that the raw data give: checked and coded when a frame is written, kept in the sidecar, and neighbours at the end.

In a sidecar, if any of its frames has some: `overlap.offsets` int64 [n + 1], where the overlaps of each row start;
`overlap.ordinal` int32, planned places in the scene of the frames that overlap; `overlap.share` uint8, 255 = all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zipmap_pl.datasets.format.schema import MAX_NEIGHBOURS
from zipmap_pl.preprocess.raw import RawFault, RawFrame

NOWHERE = -1  # ordinal of a frame that the scene does not have


@dataclass(frozen=True)
class Overlaps:
    """Overlaps of one frame, the largest first: `ordinals` [m] int32 of the other frames, `shares` [m] uint8, 255 = all."""

    ordinals: np.ndarray
    shares: np.ndarray


NONE = Overlaps(np.zeros(0, np.int32), np.zeros(0, np.uint8))


def usable_overlaps(file: str, frame: RawFrame, ordinal: int, frames: tuple[str, ...]) -> Overlaps:
    """The best overlaps of a frame, at most 32, with other frames of its scene.

    If all names are unknown, one overlap with nowhere stays, so that it can be told.

    Args:
        file: named if they cannot be used.
        frame: the frame; one without overlaps has none.
        ordinal: its place among the planned frames.
        frames: names of all planned frames of the scene.

    Raises:
        RawFault: they are not pairs of a name and a number from 0 to 1.
    """
    if not (given := _pairs(file, frame.overlaps)):
        return NONE
    places, best = _places(frames), {NOWHERE: 0}
    for name, share in given:
        other, coded = places.get(name, NOWHERE), round(255 * share)
        if other not in (NOWHERE, ordinal) and coded:
            best[other] = max(best.get(other, 0), coded)
    if len(best) > 1 or any(name in places for name, _ in given):
        del best[NOWHERE]
    kept = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:MAX_NEIGHBOURS]
    return Overlaps(np.array([k for k, _ in kept], np.int32), np.array([share for _, share in kept], np.uint8))


def _pairs(file: str, overlaps: object) -> list[tuple[str, float]]:
    """Name and share of each overlap, from a file that a dataset gives. Raises RawFault as `usable_overlaps`."""
    pairs = []
    for pair in () if overlaps is None else overlaps if isinstance(overlaps, tuple | list) else (overlaps,):
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise RawFault(file, f"an overlap is {ascii(pair)[:60]}, expected a name and a share from 0 to 1")
        name, share = pair
        if not (isinstance(share, int | float | np.integer | np.floating) and 0 <= share <= 1):
            raise RawFault(file, f"overlap with {name} is {str(share)[:40]}, expected a share from 0 to 1")
        pairs.append((name, float(share)))
    return pairs


@lru_cache(maxsize=2)
def _places(frames: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(frames)}


def pack(overlaps: Sequence[Overlaps]) -> dict[str, np.ndarray]:
    """Arrays of a sidecar, one row for each of its frames; none if no frame has overlaps."""
    if not any(len(given.ordinals) for given in overlaps):
        return {}
    return {
        "overlap.offsets": np.cumsum([0, *(len(given.ordinals) for given in overlaps)], dtype=np.int64),
        "overlap.ordinal": np.concatenate([given.ordinals for given in overlaps]),
        "overlap.share": np.concatenate([given.shares for given in overlaps]),
    }


def unpack(arrays: dict[str, np.ndarray], rows: slice) -> list[Overlaps]:
    """The overlaps of these rows of a sidecar."""
    count = rows.stop - rows.start
    if "overlap.offsets" not in arrays:
        return [NONE] * count
    places = arrays["overlap.offsets"][rows.start : rows.stop + 1].tolist()
    return [
        Overlaps(arrays["overlap.ordinal"][first:last], arrays["overlap.share"][first:last])
        for first, last in zip(places[:-1], places[1:], strict=True)
    ]


@dataclass(frozen=True)
class GivenNeighbours:
    """Neighbours of all frames of a scene, as `neighbours.neighbours_of` returns them: [n, 32] int32 and [n, 32] uint8."""

    neighbours: np.ndarray
    overlaps: np.ndarray

    @property
    def any(self) -> bool:
        """Return True if a frame has a neighbour."""
        return bool((self.neighbours >= 0).any())


def given_neighbours(ordinals: np.ndarray, overlaps: Sequence[Overlaps]) -> GivenNeighbours | None:
    """The neighbours that the overlaps of a scene's frames make; None if nothing was given.

    Args:
        ordinals: [n] planned places of the frames that were written, rising; others are dropped.
        overlaps: of these n frames.
    """
    if not any(len(given.ordinals) for given in overlaps):
        return None
    neighbours = np.full((len(overlaps), MAX_NEIGHBOURS), -1, np.int32)
    shares = np.zeros((len(overlaps), MAX_NEIGHBOURS), np.uint8)
    for row, given in enumerate(overlaps):
        places = np.searchsorted(ordinals, given.ordinals)
        written = ordinals[np.minimum(places, len(ordinals) - 1)] == given.ordinals
        count = np.count_nonzero(written)
        neighbours[row, :count], shares[row, :count] = places[written], given.shares[written]
    return GivenNeighbours(neighbours, shares)
