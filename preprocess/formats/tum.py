"""RGB-D sequences in TUM style: lists of pictures, of depth and of poses, each with time stamps of its own.

rgb.txt, depth.txt     lines `timestamp file`
groundtruth.txt        lines `timestamp tx ty tz qx qy qz qw`
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats import trajectories
from zipmap_pl.preprocess.formats.raw_file import read_listing

LISTS = ("rgb.txt", "depth.txt", "groundtruth.txt")
VALUES_PER_METRE = 5000.0  # of depth
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}  # of a second


@dataclass(frozen=True)
class TumFrame:
    """Files of picture and depth, and the pose [4, 4] as it stands in its list."""

    color: Path
    depth: Path
    pose: np.ndarray


def is_tum(folder: Path) -> bool:
    """Whether a folder is a sequence in TUM style."""
    return all((folder / name).is_file() for name in LISTS)


def read_sequence(folder: Path, limit: float) -> dict[str, TumFrame]:
    """Frames by time stamp: each picture with the nearest depth (used once) and the nearest pose, both within `limit` seconds.

    Raises UserError if there are none, or a list is none.
    """
    color, depth = (timed_files(folder / name) for name in LISTS[:2])
    pose_times, poses = trajectories.read_timed_trajectory(folder / LISTS[2])
    partner = _match_times(np.array([time for time, _, _ in color]), np.array([time for time, _, _ in depth]), limit)
    frames: dict[str, TumFrame] = {}
    for place, (time, stamp, file) in enumerate(color):
        nearest = int(np.argmin(np.abs(pose_times - time)))
        if place in partner and abs(pose_times[nearest] - time) <= limit:
            frames[stamp] = TumFrame(file, depth[partner[place]][2], poses[nearest])
    if not frames:
        _refuse_clocks(folder, [[time for time, _, _ in color], [time for time, _, _ in depth], pose_times.tolist()])
        raise UserError(f"{folder}: no picture has a depth and a pose within {limit:g} s; see --max-time-difference")
    return frames


def _refuse_clocks(folder: Path, times: list[list[float]]) -> None:
    """Raise UserError if a list is of another time than that of the pictures: a larger difference would not help."""
    if not all(times):
        empty = LISTS[times.index([])]
        raise UserError(f"{folder / empty}: no lines in it, expected one for each picture, depth or pose")
    first, last = times[0][0], times[0][-1]
    for name, others in zip(LISTS[1:], times[1:], strict=True):
        low, high = others[0], others[-1]
        if low > last or high < first:
            raise UserError(
                f"{folder / name}: times {low:.10g} to {high:.10g}, but {LISTS[0]} has {first:.10g} to {last:.10g}: they are of"
                f" different clocks ({_guess(name, low, high, first, last)}); write all lists in seconds of one clock"
            )


def _guess(name: str, low: float, high: float, first: float, last: float) -> str:
    """Why times from `low` to `high` of a list are not among those of the pictures."""
    for unit, count in UNITS.items():
        if low / count <= last and high / count >= first:
            return f"{name} may be in {unit}"
        if first / count <= high and last / count >= low:
            return f"{LISTS[0]} may be in {unit}"
    return "one may count from its start"


def _match_times(times: np.ndarray, others: np.ndarray, limit: float) -> dict[int, int]:
    """One-to-one pairs of places (in sorted times), the closest first, at most `limit` seconds apart."""
    pairs = []
    for place, time in enumerate(times):
        low, high = np.searchsorted(others, (time - limit, time + limit), "left")
        pairs += [(abs(others[k] - time), place, k) for k in range(max(low - 1, 0), min(high + 1, len(others)))]
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for difference, place, other in sorted(pairs):
        if difference <= limit and place not in matched and other not in taken:
            matched[place] = other
            taken.add(other)
    return matched


def timed_files(listing: Path) -> list[tuple[float, str, Path]]:
    """Lines `timestamp file` as (seconds, the timestamp's text, path), sorted by time."""
    entries = []
    for number, line in enumerate(read_listing(listing).decode("utf-8-sig", "surrogateescape").splitlines(), start=1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        try:
            entries.append((float(words[0]), words[0], listing.parent / words[1].strip()))
        except (ValueError, IndexError) as error:
            raise UserError(f"{listing}: line {number} is {line[:60]!r}, expected `timestamp file`") from error
    return sorted(entries)
