"""The frames of a video by number, from this file alone. Decoded by the FFmpeg that comes with OpenCV."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from zipmap_pl.images.limits import refuse_size

# Quiet, because errors are reported here. OpenCV reads it before the first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# How containers begin that hold their frames themselves. FFmpeg goes by contents, not by names: it takes a text for a list of
# files or addresses, and opens them.
QUICKTIME = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")  # at byte 4
MATROSKA = b"\x1aE\xdf\xa3"
FAILURES = 64  # in a row that are the end; what is damaged costs some frames, and others follow
FAR = 120  # frames that are decoded for nothing rather than looking for the place
SAME = 0.5  # milliseconds


@dataclass(frozen=True)
class FrameTimes:
    """What one pass through a video found.

    Attributes:
        times: [N] float64, when each frame that can be decoded is shown, in milliseconds.
        stated: frames that there should be. MP4, MOV and AVI count them, MKV and WebM state a duration.
        counted: `stated` is a count.
    """

    times: np.ndarray
    stated: int
    counted: bool

    @property
    def missing(self) -> int:
        """Frames that are stated and cannot be decoded; 0 if a duration that is not exact explains them."""
        missing = self.stated - len(self.times)
        return missing if missing > (0 if self.counted else max(2, 0.02 * self.stated)) else 0


def find_times(path: Path) -> FrameTimes:
    """Decode a video once from its start to its end.

    Raises:
        ValueError: it is no video (MP4, MOV, AVI, MKV, WebM), or frames have too many pixels.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
    counted = start[4:8] in QUICKTIME or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")
    if not counted and not start.startswith(MATROSKA):
        raise ValueError(f"begins with {start[:12]!r}, which is no MP4, MOV, AVI, MKV or WebM")
    with _opened(path) as video:
        stated = max(0, round(video.get(cv2.CAP_PROP_FRAME_COUNT)))
        times = []
        while _grabbed(video):
            times.append(video.get(cv2.CAP_PROP_POS_MSEC))
    return FrameTimes(np.array(times, np.float64), stated, counted)


class Frames:
    """The frames of a video by number, 0 for the first one that can be decoded. In rising order each is decoded once."""

    def __init__(self, path: Path, times: np.ndarray, upright: bool = True) -> None:
        """Open a video whose `FrameTimes.times` are known. Raises ValueError if it cannot be opened.

        Args:
            upright: turn frames as the video says it is to be shown.
        """
        self._path, self._times, self._upright = path, times, upright
        self._video = cv2.VideoCapture()
        self._open()

    def read(self, number: int) -> np.ndarray:
        """A frame [H, W, 3] uint8 RGB. Raises ValueError if it cannot be decoded, or the file is another one by now."""
        if not self._place <= number <= self._place + FAR:
            self._go_near(number)
        while self._place < number:
            if not _grabbed(self._video):
                raise ValueError(f"frame {number} of {len(self._times)} cannot be decoded")
            self._place += 1
        decoded, frame = self._video.retrieve()
        if not decoded or not self._is_at(number):
            raise ValueError(f"frame {number} of {len(self._times)} cannot be decoded, or is another one than before")
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def _open(self) -> None:
        _open(self._video, self._path)
        self._video.set(cv2.CAP_PROP_ORIENTATION_AUTO, float(self._upright))
        self._place = -1  # the frame that was decoded last

    def _go_near(self, number: int) -> None:
        """Go to a frame at or before this one. Looking for places is inexact in many videos: the time says which it is."""
        self._video.set(cv2.CAP_PROP_POS_FRAMES, number)
        if _grabbed(self._video):
            time = self._video.get(cv2.CAP_PROP_POS_MSEC)
            (found,) = np.nonzero(np.abs(self._times - time) < SAME)
            if len(found) == 1 and found[0] <= number:
                self._place = int(found[0])
                return
        self._open()

    def _is_at(self, number: int) -> bool:
        return abs(self._video.get(cv2.CAP_PROP_POS_MSEC) - self._times[number]) < SAME


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture()
    _open(video, path)
    try:
        yield video
    finally:
        video.release()


def _open(video: cv2.VideoCapture, path: Path) -> None:
    """Open a file, which its absolute path can only be. Raises ValueError, and says nothing of its own."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        opened = video.open(str(path.absolute()), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not opened:
        raise ValueError("it is cut off or damaged")
    refuse_size(*(max(0, int(video.get(side))) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)))


def _grabbed(video: cv2.VideoCapture) -> bool:
    """Decode the next frame that can be."""
    return any(video.grab() for _ in range(FAILURES))
