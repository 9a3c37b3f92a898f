"""Frames of raw videos by number; what cannot be decoded is a `RawFault` that names the file."""

from pathlib import Path

import numpy as np

from zipmap_pl.images import video
from zipmap_pl.preprocess.formats.raw_file import facts_of
from zipmap_pl.preprocess.raw import RawFault


def table_of(file: Path) -> dict[str, np.ndarray]:
    """What one pass through a video finds, to keep, and to give to `Frames`: a pass decodes all of it.

    Returns:
        times: [N] float64, when each frame is shown, milliseconds;
        missing: int64, how many are stated and cannot be decoded.

    Raises:
        RawFault: missing, no video, damaged so that nothing can be decoded.
    """
    facts_of(file)
    try:
        found = video.find_times(file)
    except ValueError as error:
        raise RawFault(file, f"unreadable video ({error})") from error
    if not len(found.times):
        raise RawFault(file, "unreadable video (no frame can be decoded)")
    return {"times": found.times, "missing": np.array(found.missing, np.int64)}


class Frames:
    """The frames of a raw video by number from 0, in the layout of the sensor (a turn that the video states is not applied)."""

    def __init__(self, file: Path, table: dict[str, np.ndarray], expected: int | None = None) -> None:
        """Open a video.

        Args:
            table: what `table_of` found.
            expected: how many frames there have to be; None = as many as the video states.

        Raises:
            RawFault: there are more or less: after a frame that was lost, all others would have wrong numbers.
        """
        self._file = file
        times = table["times"]
        wanted = len(times) + int(table["missing"]) if expected is None else expected
        if len(times) != wanted:
            raise RawFault(file, f"{len(times)} frames can be decoded, expected {wanted}: which is which is not known")
        try:
            self._frames = video.Frames(file, times, upright=False)
        except ValueError as error:
            raise RawFault(file, f"unreadable video ({error})") from error
        self.count = len(times)

    def read(self, number: int) -> np.ndarray:
        """A frame [H, W, 3] uint8 RGB. Raises RawFault."""
        if not 0 <= number < self.count:
            raise RawFault(self._file, f"has {self.count} frames, expected a frame {number}")
        try:
            return self._frames.read(number)
        except ValueError as error:
            raise RawFault(self._file, f"unreadable video ({error})") from error
