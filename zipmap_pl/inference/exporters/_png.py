"""Images for people as PNG."""

from pathlib import Path

import cv2
import numpy as np


def write_png(path: Path, image: np.ndarray) -> None:
    """Write RGB [H, W, 3] uint8."""
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
