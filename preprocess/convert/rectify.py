"""Frames as a pinhole camera without distortion would have taken them: what shards hold.

The engine does this for every camera that has `RawCamera.distortion`. A reader whose pictures follow another projection
calls `resampled` itself, with the place in the raw picture of each pixel of the picture that it wants.
"""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from zipmap_pl.preprocess.convert.depth_samples import sampled_depth
from zipmap_pl.preprocess.raw import RawFrame

HALF = np.array(((0.0, 0.0, 0.5), (0.0, 0.0, 0.5), (0.0, 0.0, 0.0)))  # from the first pixel's centre to the corner


def rectified(frame: RawFrame) -> RawFrame:
    """The frame without lens distortion, as large as before; its intrinsics let no pixel look outside of the raw picture.

    Depth stays planar z along the same axis. Returns the frame itself if its camera has no distortion.
    """
    distortion = tuple(float(value) for value in frame.camera.distortion)
    if not any(distortion):
        return frame
    height, width = frame.image.shape[:2]
    intrinsics, columns, rows = _pinhole(frame.camera.intrinsics.tobytes(), distortion, height, width)
    return resampled(frame, columns, rows, intrinsics)


def resampled(
    frame: RawFrame, columns: np.ndarray, rows: np.ndarray, intrinsics: np.ndarray, *, between_samples: bool = False
) -> RawFrame:
    """The frame through other pixels: the picture is interpolated; depth and masks take the nearest sample, never a mix.

    Args:
        frame: the raw frame.
        columns, rows: [H, W], where in the raw picture each new pixel's centre lies, measured from its corner
            (so that the raw pixel (row i, column j) is at j + 0.5, i + 0.5). Outside, depth is unknown.
        intrinsics: [3, 3] of the new picture.
        between_samples: depth is interpolated where its four samples are of one surface (`sampled_depth`), nearest only
            elsewhere. Shards that were written without it would change.
    """
    x, y = ((places - 0.5).astype(np.float32) for places in (columns, rows))

    def nearest(layer: np.ndarray | None) -> np.ndarray | None:
        if layer is None:
            return None
        sampled = cv2.remap(layer.astype(np.float32), x, y, cv2.INTER_NEAREST, borderValue=0)
        return sampled.astype(layer.dtype)

    depth = nearest(frame.depth)
    if between_samples and frame.depth is not None:
        depth = sampled_depth(frame.depth, columns, rows)
    return RawFrame(
        camera=replace(frame.camera, intrinsics=intrinsics, distortion=()),
        image=cv2.remap(frame.image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
        depth=depth,
        sky=nearest(frame.sky),
        dynamic=nearest(frame.dynamic),
        object=nearest(frame.object),
    )


@lru_cache(maxsize=2)
def _pinhole(
    intrinsics: bytes, distortion: tuple[float, ...], height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New intrinsics [3, 3] and, for each new pixel, column and row [H, W] in the raw picture, from its corner."""
    matrix = np.frombuffer(intrinsics, np.float64).reshape(3, 3) - HALF
    lens = np.array(distortion)
    pinhole, _ = cv2.getOptimalNewCameraMatrix(matrix, lens, (width, height), 0)
    columns, rows = cv2.initUndistortRectifyMap(matrix, lens, None, pinhole, (width, height), cv2.CV_32FC1)
    return pinhole + HALF, columns + np.float32(0.5), rows + np.float32(0.5)
