"""Arrays as .npy."""

import io
from pathlib import Path

import numpy as np


def write_npy(path: Path, values: np.ndarray) -> None:
    """Write an array. Raises OSError with its reason where there is no room, which `np.save` to a file leaves out."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    path.write_bytes(buffer.getbuffer())
