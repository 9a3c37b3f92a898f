"""How someone's own RGB-D sequences are to be read: names of files, axes and units; the options of `rgbd_folder`."""

import argparse
from dataclasses import dataclass

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.axes import AXES
from zipmap_pl.preprocess.formats import trajectories
from zipmap_pl.preprocess.options import option

INTRINSICS_FILES = ("camera-intrinsics.txt", "intrinsics.txt", "K.txt")


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(word) for word in text.split(",") if word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}, expected numbers with commas between them") from error


@dataclass(frozen=True)
class RgbdOptions:
    """How the raw files are to be read; see their help.

    Attributes:
        slug: short name of the dataset; None = from the name of RAW.
        licence: who may use it and how.
        moving: things other than the camera move.
        rendered: the pictures are rendered, not taken by a camera.
        color, depth, poses: glob patterns below a sequence's folder; what the first * stands for is the frame's name.
            `poses` without * is one file for the sequence, in the order of the frames.
        intrinsics: "fx,fy,cx,cy", or a file below the sequence's folder or RAW; None = look for the usual names.
        pixel_origin: where the principal point is measured from: the picture's "corner", or its first pixel's "centre".
        depth_scale: stored depth values per metre; None = 1000 for PNG, 1 for numpy, 5000 for TUM.
        invalid_depth: stored values that mean unknown, besides 0.
        axes: camera axes of the poses: "opencv", or another of `convert.axes.AXES`.
        world_to_camera: the poses map world to camera, not camera to world.
        max_time_difference: seconds between a picture and its depth or pose (TUM).
        split: split of sequences that no TrainSplit.txt or TestSplit.txt names.
    """

    slug: str | None = option(None, "short name of the dataset (default: the name of RAW)", recorded=None)
    licence: str = option("not stated", "written to dataset.json", recorded=None)
    moving: bool = option(False, "things other than the camera move (default: a still world)", recorded=None)
    rendered: bool = option(False, "rendered pictures (default: taken by a camera)", recorded=None)
    color: str = option("frame-*.color.*", "pictures (default: %(default)s)", metavar="PATTERN")
    depth: str = option("frame-*.depth.png", "depth, .png or .npy (default: %(default)s)", metavar="PATTERN")
    poses: str = option(
        "frame-*.pose.txt",
        f"a file per frame (with *), or one file: {trajectories.FORMATS} (default: %(default)s)",
        metavar="PATTERN",
    )
    intrinsics: str | None = option(None, f"default: {', '.join(INTRINSICS_FILES)}", metavar="fx,fy,cx,cy|FILE")
    pixel_origin: str = option(
        "corner",
        "the principal point is measured from the picture's corner or its first pixel's centre (default: %(default)s)",
        choices=("corner", "centre"),
    )
    depth_scale: float | None = option(
        None, "stored values per metre (default: 1000 for PNG, 1 for numpy, 5000 for TUM)", metavar="N", parse=float
    )
    invalid_depth: tuple[float, ...] = option(
        (65535.0,), "stored values that mean unknown, besides 0 (default: 65535)", metavar="N,N", parse=numbers
    )
    axes: str = option("opencv", "camera axes of the poses (default: %(default)s)", choices=tuple(AXES))
    world_to_camera: bool = option(False, "poses map world to camera (default: camera to world)")
    max_time_difference: float = option(
        0.02, "TUM: seconds between a picture and its depth or pose (default: %(default)s)", metavar="S"
    )
    split: str = option(
        "train", "split of sequences that no TrainSplit.txt or TestSplit.txt names (default: %(default)s)"
    )

    def __post_init__(self) -> None:
        if self.depth_scale is not None and not 0 < self.depth_scale < float("inf"):
            raise UserError(f"--depth-scale {self.depth_scale}: expected a number above 0")
