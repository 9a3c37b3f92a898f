"""How someone's own RGB-D sequences are to be read: names of files, axes and units; the options of `rgbd_folder`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from zipmap_pl.preprocess.convert.axes import AXES
from zipmap_pl.preprocess.formats import trajectories

INTRINSICS_FILES = ("camera-intrinsics.txt", "intrinsics.txt", "K.txt")


@dataclass(frozen=True)
class RgbdOptions:
    """How the raw files are to be read; see `add_arguments` for the words.

    Attributes:
        slug: short name of the dataset.
        licence: who may use it and how.
        moving: things other than the camera move.
        rendered: the pictures are rendered, not taken by a camera.
        color, depth, poses: glob patterns below a sequence's folder; what the first * stands for is the frame's name.
            `poses` without * is one file for the sequence, in the order of the frames.
        intrinsics: "fx,fy,cx,cy", or a file below the sequence's folder or RAW; None = look for the usual names.
        pixel_origin: where the principal point is measured from: the picture's "corner", or its first pixel's "centre".
        depth_scale: stored depth values per metre; None = 1000 for PNG, 1 for numpy, 5000 for TUM.
        invalid_depth: stored values that mean unknown, besides 0.
        axes: camera axes of the poses: "opencv", "opengl" or "ned".
        world_to_camera: the poses map world to camera, not camera to world.
        max_time_difference: seconds between a picture and its depth or pose (TUM).
        split: split of sequences that no TrainSplit.txt or TestSplit.txt names.
    """

    slug: str
    licence: str = "not stated"
    moving: bool = False
    rendered: bool = False
    color: str = "frame-*.color.*"
    depth: str = "frame-*.depth.png"
    poses: str = "frame-*.pose.txt"
    intrinsics: str | None = None
    pixel_origin: str = "corner"
    depth_scale: float | None = None
    invalid_depth: tuple[float, ...] = (65535.0,)
    axes: str = "opencv"
    world_to_camera: bool = False
    max_time_difference: float = 0.02
    split: str = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this reader."""
    default = RgbdOptions("")
    parser.add_argument("raw", type=Path, metavar="RAW", help="a sequence's folder, or a folder of such folders")
    group = parser.add_argument_group("raw files")
    group.add_argument("--slug", help="short name of the dataset (default: the name of RAW)")
    group.add_argument("--licence", default=default.licence, help="written to dataset.json")
    group.add_argument(
        "--moving", action="store_true", help="things other than the camera move (default: a still world)"
    )
    group.add_argument("--rendered", action="store_true", help="rendered pictures (default: taken by a camera)")
    group.add_argument("--color", default=default.color, metavar="PATTERN", help="pictures (default: %(default)s)")
    group.add_argument(
        "--depth", default=default.depth, metavar="PATTERN", help="depth, .png or .npy (default: %(default)s)"
    )
    text = "a file per frame (with *), or one file: " + trajectories.FORMATS + " (default: %(default)s)"
    group.add_argument("--poses", default=default.poses, metavar="PATTERN", help=text)
    group.add_argument("--intrinsics", metavar="fx,fy,cx,cy|FILE", help=f"default: {', '.join(INTRINSICS_FILES)}")
    text = (
        "the principal point is measured from the picture's corner or its first pixel's centre (default: %(default)s)"
    )
    group.add_argument("--pixel-origin", choices=("corner", "centre"), default=default.pixel_origin, help=text)
    text = "stored values per metre (default: 1000 for PNG, 1 for numpy, 5000 for TUM)"
    group.add_argument("--depth-scale", type=float, metavar="N", help=text)
    text = "stored values that mean unknown, besides 0 (default: 65535)"
    group.add_argument("--invalid-depth", type=_numbers, default=default.invalid_depth, metavar="N,N", help=text)
    text = "camera axes of the poses (default: %(default)s)"
    group.add_argument("--axes", choices=tuple(AXES), default=default.axes, help=text)
    group.add_argument(
        "--world-to-camera", action="store_true", help="poses map world to camera (default: camera to world)"
    )
    text = "TUM: seconds between a picture and its depth or pose (default: %(default)s)"
    group.add_argument("--max-time-difference", type=float, default=default.max_time_difference, metavar="S", help=text)
    text = "split of sequences that no TrainSplit.txt or TestSplit.txt names (default: %(default)s)"
    group.add_argument("--split", default=default.split, help=text)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(",") if word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}, expected numbers with commas between them") from error
