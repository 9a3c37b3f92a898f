"""Planar depth from other measures of it: distances along rays, disparities."""

import numpy as np

from zipmap_pl.preprocess.convert.tilt_shift import depth_of_distance


def planar(distance: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Planar z [H, W] float32 of distances [H, W] from the camera along each pixel's ray, in the same unit.

    `intrinsics` is [3, 3], pixels from the image's corner; the rays go through the pixels' centers. What is no distance
    (0, negative, not finite) stays none.
    """
    return (distance * depth_of_distance(intrinsics, *distance.shape)).astype(np.float32)


def of_disparity(disparity: np.ndarray, focal: float, baseline: float) -> np.ndarray:
    """Planar z [H, W] float32 in the baseline's unit, focal * baseline / disparity.

    Args:
        disparity: [H, W] of a rectified pair, in pixels of the image that `focal` is for; 0, negative or NaN = unknown.
        focal: pixels.
        baseline: distance between the two cameras, positive.

    Returns:
        0 = unknown; so is a depth that float32 cannot hold.
    """
    depth = np.zeros(disparity.shape, np.float32)
    with np.errstate(over="ignore"):
        np.divide(focal * baseline, disparity, out=depth, where=disparity > 0, dtype=np.float64, casting="same_kind")
    depth[np.isinf(depth)] = 0
    return depth
