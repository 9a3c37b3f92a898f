"""Frames in the order of time."""

import numpy as np


def in_time_order(frames: np.ndarray) -> np.ndarray:
    """Frames for a model that sees them one after another: sorted, unless they are one walk forwards or backwards through
    time already, perhaps gone through again and again (as `Revisits` does where a scene is too short)."""
    walk = frames[: len(set(frames.tolist()))]
    steps = np.diff(walk)
    ordered = (steps > 0).all() or (steps < 0).all()
    return frames if ordered and (np.resize(walk, len(frames)) == frames).all() else np.sort(frames)


def evenly_spaced(frame_count: int, count: int) -> np.ndarray:
    """[count] int64 from the first frame to the last, as even as whole numbers allow: for validation."""
    return np.rint(np.linspace(0, frame_count - 1, count)).astype(np.int64)
