"""Pixels that make bad points: at the edges of depth, and in the sky."""

import cv2
import numpy as np

# Of an image in bytes: the least brightness of sky, how much redder than blue it may be, and how much neighbors may differ.
SKY_BRIGHTNESS, SKY_REDNESS, SKY_ROUGHNESS = 110, 8, 12
SKY_SHARE = 0.01  # of the image, that a sky covers at least
NEIGHBORS = np.ones((3, 3), np.uint8)


def at_edges(depth: np.ndarray, focal: tuple[float, float], angle: float) -> np.ndarray:
    """Pixels [h, w] bool at which depth jumps, where networks smear points between foreground and background.

    A jump is a step between neighbors so steep that the surface would be seen at less than `angle` degrees, which depends
    neither on the unit nor on the resolution. The pixels on both sides are edges, and those next to them.

    Args:
        depth: [h, w] planar z; steps from or to what is not finite and positive count as none.
        focal: fx, fy in pixels.
        angle: in degrees; 0 finds nothing.
    """
    edges = np.zeros(depth.shape, bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        logarithm = np.where(np.isfinite(depth) & (depth > 0), np.log(depth, dtype=np.float64), np.nan)
        steepest = np.inf if angle <= 0 else 1 / np.tan(np.deg2rad(angle))
        across = np.abs(np.diff(logarithm, axis=1)) * focal[0] > steepest
        along = np.abs(np.diff(logarithm, axis=0)) * focal[1] > steepest
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= along
    edges[:-1] |= along
    return cv2.dilate(edges.astype(np.uint8), NEIGHBORS).astype(bool)


def in_sky(image: np.ndarray) -> np.ndarray:
    """Pixels [h, w] bool of an upright image [h, w, 3] uint8 RGB that look like sky.

    That is what is bright, not reddish, smooth, and joined to the upper border; white walls and ceilings are so, too.
    """
    smooth = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, NEIGHBORS).max(axis=2) <= SKY_ROUGHNESS
    values = image.astype(np.int16)
    colored = (values.max(axis=2) >= SKY_BRIGHTNESS) & (values[..., 2] >= values[..., 0] - SKY_REDNESS)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((smooth & colored).astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= SKY_SHARE * labels.size
    upper = np.zeros(len(stats), bool)
    upper[np.unique(labels[0])] = True
    upper[0] = False  # the background
    sky = (large & upper)[labels]
    return cv2.dilate(sky.astype(np.uint8), NEIGHBORS).astype(bool) & colored
