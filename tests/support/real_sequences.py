"""Real sequences that lie next to the checkout, and how they are read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sequence:
    """How to read a sequence, and what its README measured: frames apart, median relative error, share within 2 %."""

    folder: str
    options: tuple[str, ...]
    frames: int
    step: int
    median: float
    good: float
    scene: int = 0
    dataset: str = "rgbd_folder"


SEQUENCES = {
    "redkitchen": Sequence("sevenscenes_redkitchen", (), 80, 5, 0.0055, 0.91),
    "stairs": Sequence("sevenscenes_stairs_layout", ("--intrinsics", "585,585,320,240"), 12, 2, 0.0051, 0.95, scene=1),
    "hololens": Sequence(
        "hololens_dvmvs",
        ("--color", "images/*.png", "--depth", "depth/*.png", "--poses", "poses.txt", "--pixel-origin", "centre"),
        50,
        3,
        0.0029,
        0.98,
    ),
    "livingroom": Sequence(
        "livingroom_open3d",
        ("--color", "image/*.jpg", "--depth", "depth/*.png", "--poses", "trajectory.log")
        + ("--intrinsics", "525,525,319.5,239.5", "--pixel-origin", "centre"),
        100,
        10,
        0.0005,
        0.97,
    ),
    "tartanair": Sequence(
        "tartanair_raw",
        ("--color", "image_left/*_left.png", "--depth", "depth_left/*_left_depth.npy", "--poses", "pose_left.txt")
        + ("--intrinsics", "320,320,320,240", "--axes", "ned"),
        20,
        4,
        0.0009,
        0.998,
    ),
    "tartanair_as_published": Sequence("tartanair_raw", (), 20, 4, 0.0009, 0.998, dataset="tartanair"),
}
