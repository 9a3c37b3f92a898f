"""Notices raw files that were exchanged after the plan was made: shards would hold the old data in part, the new in part."""

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.frame_checks import usable_cam_to_world, usable_intrinsics, usable_layers
from zipmap_pl.preprocess.raw import RawFault, RawFrame

# What a frame is recognized by, and how far each may be off: decoders of other processors round differently.
NAMES = ("mean gray level", "median depth", "pose")
ABSOLUTE, RELATIVE = np.array((0.05, 0.0, 1e-9)), np.array((0.0, 1e-3, 1e-6))
STRIDE = 4  # rows and columns of the pixels that are looked at

Marks = tuple[float, float, float]


def marks_of(frame: RawFrame) -> Marks:
    """Three numbers, one for each of `NAMES`, that are others for another image, depth map or pose; in raw units."""
    image = frame.image[::STRIDE, ::STRIDE]
    depth = np.zeros(0) if frame.depth is None else frame.depth[::STRIDE, ::STRIDE]
    depth = depth[np.isfinite(depth) & (depth > 0)]
    pose = np.asarray(frame.camera.cam_to_world, np.float64).ravel()
    weighted = float(np.sum(pose * np.arange(1, 1 + pose.size)))
    return float(image.mean()), float(np.median(depth)) if depth.size else 0.0, weighted


def usable_marks(frame: RawFrame) -> Marks | None:
    """`marks_of` a frame that will be written; None for one with a fault, which people may mend."""
    try:
        usable_layers("", frame, None)
        usable_cam_to_world("", frame.camera)
        usable_intrinsics("", frame.camera, *frame.image.shape[:2])
    except RawFault:
        return None
    return marks_of(frame)


def refuse_changed(name: str, planned: Marks, frame: RawFrame) -> None:
    """Raise UserError if a frame is not the one that was planned with.

    Args:
        name: scene and frame.
        planned: its marks then.
        frame: what was read now.
    """
    then, now = np.array(planned), np.array(marks_of(frame))
    differs = np.abs(now - then) > ABSOLUTE + RELATIVE * np.abs(then)
    if differs.any():
        place = int(np.argmax(differs))
        raise UserError(
            f"{name}: its raw files changed since the plan was made ({NAMES[place]} {then[place]:.6g} then, {now[place]:.6g}"
            " now), and shards that are written may hold the old ones; put those back, or add --rebuild to start anew"
        )
