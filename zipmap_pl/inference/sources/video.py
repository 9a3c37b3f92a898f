"""The frames of a video."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2

from zipmap_pl.errors import UserError
from zipmap_pl.images.photo import DecodedPhoto
from zipmap_pl.progress import working

VIDEO_ENDINGS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}


def open_video(path: Path) -> tuple[list[str], Callable[[int], DecodedPhoto]]:
    """Names of the frames of a video, and what reads one by its number: in rising order, seeking is inexact in many videos.

    Raises:
        UserError: no frame can be decoded; when reading, that one cannot.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong is said below
    with working(f"counting the frames of {path}"):
        count = _count_frames(path)
    if count < 1:
        raise UserError(
            f"{path}: found no frame that can be decoded, expected a folder of photos or a video "
            f"({', '.join(sorted(VIDEO_ENDINGS))})"
        )
    video = cv2.VideoCapture(str(path))
    position = 0

    def read(number: int) -> DecodedPhoto:
        nonlocal position
        while position < number:
            video.grab()
            position += 1
        decoded, frame = video.read()
        position += 1
        if not decoded:
            raise UserError(f"{path}: frame {number} of {count} cannot be decoded; re-encode the video")
        return DecodedPhoto(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))

    return [f"frame-{number:06d}" for number in range(count)], read


def _count_frames(path: Path) -> int:
    """By decoding: the number that a video states of itself is often a guess."""
    video, count = cv2.VideoCapture(str(path)), 0
    while video.grab():
        count += 1
    return count
