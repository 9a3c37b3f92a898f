"""Videos whose frames show their numbers, and damage to them."""

from pathlib import Path

import cv2
import numpy as np

BITS, SIDE = 7, 16  # white squares are ones
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "mp4v", ".webm": "VP80"}


def written_video(path: Path, count: int) -> Path:
    """A video of `count` frames [48, 112] at 30 per second, in the container that its name says."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODECS[path.suffix]), 30, (BITS * SIDE, 48))
    noise = np.random.default_rng(0).integers(0, 256, (48, BITS * SIDE, 3), np.uint8)
    for number in range(count):
        frame = noise.copy()
        ones = [255 * (number >> bit & 1) for bit in range(BITS)]
        frame[:SIDE] = np.repeat(np.array(ones, np.uint8), SIDE)[None, :, None]
        writer.write(frame)
    writer.release()
    return path


def number_in(frame: np.ndarray) -> int:
    """The number that a frame [48, 112, 3] shows."""
    ones = frame[SIDE // 2, SIDE // 2 :: SIDE, 0] > 128
    return int((ones << np.arange(BITS)).sum())


def spoil_middle(path: Path, share: float = 0.5, count: int = 3000) -> None:
    """Overwrite bytes of a file with noise."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + count] = np.random.default_rng(0).bytes(count)[: len(data) - start]
    path.write_bytes(data)


def cut(path: Path, share: float) -> None:
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
