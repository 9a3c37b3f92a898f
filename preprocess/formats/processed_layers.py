"""Frames as CUT3R's authors publish them: rectified pictures, cameras, depth and masks, a file of each for every frame.

FOLDER/
  rgb/<frame>.png
  cam/<frame>.npz            `intrinsic` [3, 3]; `pose` [4, 4], camera to world, OpenCV axes
  depth/<frame>.npy          floats [H, W], planar, in the unit of the cameras; not positive or not finite = unknown
  sky_mask/<frame>.png       from 127 on it is the sky; may be missing
  outlier_mask/<frame>.png   from 110 on the depth is not believed; may be missing
"""

from pathlib import Path

import numpy as np

from zipmap_pl.preprocess.formats.nerfstudio import by_last_number
from zipmap_pl.preprocess.formats.pictures import read_depth_npy, read_depth_png, read_npz
from zipmap_pl.preprocess.formats.sources import Source, exists, join, names_in
from zipmap_pl.preprocess.raw import RawCamera, RawFault

SKY, OUTLIER = 127, 110  # as in the published training


def frames_of(folder: Source) -> tuple[str, ...]:
    """What pictures and cameras have between them, in the order of their numbers."""
    parts = (("rgb", ".png"), ("cam", ".npz"))
    names = {n.removesuffix(end) for part, end in parts for n in names_in(join(folder, part)) if n.endswith(end)}
    return tuple(sorted(names, key=by_last_number))


def read_camera(folder: Path, frame: str) -> RawCamera:
    """The camera of a frame."""
    file = folder / "cam" / f"{frame}.npz"
    intrinsics, pose = read_npz(file, "intrinsic", "pose")
    return RawCamera(intrinsics, pose, file)


def read_layers(folder: Source, frame: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Depth [H, W] float32; sky [H, W] bool, None where the frame has no such mask."""
    file = join(folder, f"depth/{frame}.npy")
    values = read_depth_npy(file)
    if values.dtype.kind != "f":
        raise RawFault(file, f"depth is {values.dtype}, expected floats")
    with np.errstate(over="ignore"):
        depth = values.astype(np.float32)
    outliers, sky = (_mask(folder, kind, frame) for kind in ("outlier_mask", "sky_mask"))
    if outliers is not None:
        if outliers.shape != depth.shape:
            mask, other = (f"{layer.shape[1]}x{layer.shape[0]}" for layer in (outliers, depth))
            raise RawFault(join(folder, f"outlier_mask/{frame}.png"), f"mask is {mask}, the depth is {other}")
        depth[outliers >= OUTLIER] = 0
    return depth, None if sky is None else sky >= SKY


def _mask(folder: Source, kind: str, frame: str) -> np.ndarray | None:
    """[H, W], as stored; None where the frame has no such mask."""
    file = join(folder, f"{kind}/{frame}.png")
    return read_depth_png(file) if exists(file) else None
