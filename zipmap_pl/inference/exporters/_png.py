"""PNG: images for people, and numbers in 16 bits."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

WHITE = 65535
FARTHEST = 64  # times the median: a few wild numbers must not cost all the others their precision


def write_png(path: Path, image: np.ndarray) -> None:
    """Write RGB [H, W, 3] uint8."""
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def step_of(maps: Sequence[np.ndarray]) -> float:
    """What one step of 16 bits stands for, so that the maps' finite numbers up to 64 times their median fit; 1 without any."""
    values = np.concatenate([values[np.isfinite(values) & (values > 0)] for values in maps] or [np.zeros(0)])
    return float(min(values.max(), FARTHEST * np.median(values))) / WHITE if len(values) else 1.0


def write_16bit(path: Path, values: np.ndarray, step: float, beyond: int = 0) -> None:
    """Write [H, W] as 16-bit gray, number = value / step rounded; 0 where it is not finite or not positive.

    beyond: what stands for numbers above 65535.
    """
    numbers = np.rint(np.where(np.isfinite(values) & (values > 0), values, 0) / step)
    gray = np.where(numbers > WHITE, beyond, numbers).astype(np.uint16)
    path.write_bytes(cv2.imencode(".png", gray)[1].tobytes())
