"""The frames of a video that a user brings."""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.images.photo import DecodedPhoto
from zipmap_pl.images.video import Frames, find_times
from zipmap_pl.progress import working

VIDEO_ENDINGS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}

log = logging.getLogger(__name__)


def open_video(path: Path) -> tuple[list[str], Callable[[int], DecodedPhoto], Callable[[int], tuple[int, int]]]:
    """Names of the frames of a video, and what reads one by its number. Frames that are missing are logged.

    The third says height and width of a frame, which all share.

    Raises:
        UserError: no frame can be decoded; when reading, that one cannot.
    """
    reason = ""
    with working(f"counting the frames of {path}"):
        try:
            found = find_times(path)
            count = len(found.times)
        except ValueError as error:
            count, reason = 0, f" ({error})"
    if count < 1:
        raise UserError(
            f"{path}: found no frame that can be decoded{reason}, expected a folder of photos or a video "
            f"({', '.join(sorted(VIDEO_ENDINGS))})"
        )
    if found.missing:
        text = "%s: %d of its %d frames can be decoded; it is cut off or damaged: record, copy or export it again"
        log.warning(text, path, count, found.stated)
    frames = Frames(path, found.times)

    def read(number: int) -> DecodedPhoto:
        try:
            return DecodedPhoto(frames.read(number))
        except ValueError as error:
            raise UserError(f"{path}: {error}; re-encode the video") from error

    @cache
    def size_of_all() -> tuple[int, int]:
        return read(0).size

    return [f"frame-{number:06d}" for number in range(count)], read, lambda number: size_of_all()
