"""Kubric in small: a video in its archive, one unpacked into a folder of its name, one in a plain folder."""

from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, npy_damages, picture_damages, rare
from miniatures.files import npy, npz, png, rgba_png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar

SIDE = 48 * SCALE
K = pinhole(52.5 * SCALE, SIDE / 2, SIDE / 2)
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
PICKLE = b"\x93NUMPY, and then a pickle that nobody may open"
TARRED, DOUBLE, PLAIN = "0000", "0001", "0123"
ARCHIVE = f"{TARRED}.tar.gz"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    tarred, double, plain = (
        video(TARRED, Room((3.0, 2.0, 4.0), seed=1), 4),
        video(DOUBLE, Room((5.0, 4.0, 6.0), seed=2), 12),
        video(PLAIN, Room(seed=3), 3, alpha=True),
    )
    written_tar(raw / ARCHIVE, {f"{TARRED}/{name}": data for name, data in tarred[0].items()})
    to_folder(raw / DOUBLE / DOUBLE, double[0])
    to_folder(raw / PLAIN, plain[0])
    return [TrueScene(name, "train", made[1]) for name, made in ((TARRED, tarred), (DOUBLE, double), (PLAIN, plain))]


def video(name: str, room: Room, count: int, alpha: bool = False) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """Files of a video, and the truth."""
    files, frames, extrinsics = {f"{name}.npy": PICKLE}, [], []
    for k in range(count):
        pose = room.pose(2 * k)
        view = room.see(pose, K, SIDE, SIDE)
        cam_to_world = turned(pose, Z_UP)
        extrinsics.append(np.linalg.inv(cam_to_world)[:3])
        opaque = np.full((SIDE, SIDE), 255, np.uint8)
        files[f"frames/{k:03d}.png"] = rgba_png(view.image, opaque) if alpha else png(view.image)
        files[f"depths/{k:03d}.npy"] = npy(view.depth)
        frames.append(TrueFrame(f"{k:03d}", view.image, K, cam_to_world, view.depth))
    files[f"{name}_with_rank.npz"] = cameras(np.array(extrinsics))
    files[f"{name}_trajs_2d.npy"] = npy(np.zeros((4, count, 2), np.float32))
    return files, tuple(frames)


def cameras(extrinsics: np.ndarray, intrinsics: np.ndarray = K) -> bytes:
    """The file of cameras."""
    count = len(extrinsics)
    return npz(extrinsics=extrinsics, shared_intrinsics=intrinsics, ranking=np.zeros((count, count), np.int64))


def other(change: object) -> spoil.Harm:
    """Other extrinsics [T, 3, 4]: `change` changes a copy of them in place."""

    def edit(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        extrinsics = arrays["extrinsics"].copy()
        change(extrinsics)
        return {**arrays, "extrinsics": extrinsics}

    return spoil.npz(edit)


def _put(value: object, *place: object) -> spoil.Harm:
    def change(extrinsics: np.ndarray) -> None:
        extrinsics[place] = value

    return other(change)


FOLDER = f"{DOUBLE}/{DOUBLE}"
IMAGE = Target(f"{FOLDER}/frames/002.png", DOUBLE, ("002",))
DEPTH = Target(f"{FOLDER}/depths/004.npy", DOUBLE, ("004",))
CAMERAS = Target(f"{FOLDER}/{DOUBLE}_with_rank.npz", DOUBLE, tuple(f"{k:03d}" for k in range(12)))
POSE = Target(CAMERAS.file, DOUBLE, ("003",))
COPY = f"z/{DOUBLE}"


def _lost_tar(raw: Path) -> list[Expected]:
    spoil.truncate(raw / ARCHIVE)
    return [Expected(ARCHIVE, ARCHIVE, "unreadable tar", lost_scenes=(TARRED,))]


MINIATURE = Miniature(
    name="kubric",
    write=write,
    damages=(
        *picture_damages(IMAGE),
        *npy_damages(DEPTH),
        POSE.damage("pose nan", _put(np.nan, 3, 0, 3), "pose holds nan"),
        POSE.damage("pose without rotation", _put(0.0, 3), "pose is no rotation"),
        CAMERAS.damage("cameras missing", spoil.remove, "missing", frames=CAMERAS.frames),
        CAMERAS.damage("cameras truncated", spoil.truncate, "unreadable"),
        CAMERAS.damage(
            "cameras of another name", spoil.npz(lambda a: {"poses": a["extrinsics"]}), "expected one extrinsics"
        ),
        CAMERAS.damage(
            "intrinsics from the first pixel's middle",
            spoil.npz(lambda a: {**a, "shared_intrinsics": K - ((0, 0, 0.5), (0, 0, 0.5), (0, 0, 0))}),
            "principal point 23.5 counts from the middle",
        ),
        Target(CAMERAS.file, DOUBLE, ("010", "011")).damage(
            "fewer cameras", spoil.npz(lambda a: {**a, "extrinsics": a["extrinsics"][:10]}), "extrinsics of 10 frames"
        ),
        IMAGE.damage("picture of another size", spoil.other_size, "picture is 24x24", blamed=f"{DOUBLE}/002"),
        Damage("unreadable tar", _lost_tar),
        found_twice(DOUBLE, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=DOUBLE),
        *rare(
            POSE.damage("pose mirrored", other(lambda e: np.negative(e[3, 0], out=e[3, 0])), "determinant -1"),
            CAMERAS.damage(
                "cameras of another shape",
                spoil.npz(lambda a: {**a, "extrinsics": a["extrinsics"][0]}),
                r"are \[3, 4\] and \[3, 3\], expected \[T, 3, 4\]",
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
