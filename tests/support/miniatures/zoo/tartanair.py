"""TartanAir in small: a folder as published, one with a doubled environment, zips as downloaded, an excluded one."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import (
    Target,
    member_damages,
    npy_damages,
    picture_damages,
    rare,
    unreadable_archive,
)
from miniatures.files import npy, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH = 48 * SCALE, 64 * SCALE
SKY = 12_000.0
PLAIN, DOUBLED, ZIPPED = "abandonedfactory/Easy/P000", "hospital/Hard/P003", "seasidetown/Easy/P001"
# Rows: forward, right, down in a room's or camera's right, down, forward.
NED = np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = []
    for name, room, count in (
        (PLAIN, Room(seed=1), 12),
        (DOUBLED, Room((20.0, 8.0, 25.0), open_sky=True, seed=2), 6),
        (ZIPPED, Room(seed=3), 4),
        ("ocean/Easy/P000", Room(seed=4), 2),
    ):
        files, frames = _trajectory(room, count)
        environment = name.split("/")[0]
        if name == ZIPPED:
            for part in ("image_left", "depth_left"):
                held = {file: data for file, data in files.items() if file.startswith((part, "pose"))}
                to_zip(raw / f"{Path(name).parent}/{part}.zip", held, top=name)
        else:
            to_folder(raw / environment / name if name == DOUBLED else raw / name, files)
        if environment != "ocean":
            scenes.append(TrueScene(name, "train", frames))
    return scenes


def _trajectory(room: Room, count: int) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    files, frames, rows = {}, [], []
    intrinsics = pinhole(WIDTH / 2, WIDTH / 2, HEIGHT / 2)
    for k in range(count):
        pose = room.pose(k)
        view = room.see(pose, intrinsics, HEIGHT, WIDTH)
        cam_to_world = turned(pose, NED)
        depth = np.where(view.sky, SKY, view.depth).astype(np.float32)
        depth[5, 7], depth[5, 8] = np.nan, -1.0
        name = f"{k:06d}"
        files[f"image_left/{name}_left.png"] = png(view.image)
        files[f"depth_left/{name}_left_depth.npy"] = npy(depth)
        body = cam_to_world[:3, :3] @ NED.T
        rows.append(" ".join(f"{v:.12e}" for v in (*cam_to_world[:3, 3], *Rotation.from_matrix(body).as_quat())))
        known = np.where(view.sky | ~(depth > 0), 0, depth)
        frames.append(TrueFrame(name, view.image, intrinsics, cam_to_world, known, view.sky & (depth > 0)))
    files["pose_left.txt"] = ("\n".join(rows) + "\n").encode()
    return files, tuple(frames)


POSES = Target(f"{PLAIN}/pose_left.txt", PLAIN)
FIRST, FIFTH = replace(POSES, frames=("000000",)), replace(POSES, frames=("000005",))
PICTURE_3 = Target(f"{PLAIN}/image_left/000003_left.png", PLAIN, ("000003",), blamed=f"{PLAIN}/000003")
DEPTH_3 = Target(f"{PLAIN}/depth_left/000003_left_depth.npy", PLAIN, ("000003",), blamed=f"{PLAIN}/000003")
IMAGES_ZIP, DEPTHS_ZIP = (f"seasidetown/Easy/{part}_left.zip" for part in ("image", "depth"))
IN_ZIP = Target(f"{ZIPPED}/image_left/000002_left.png", ZIPPED, ("000002",))


def _numbers(first: int, count: int) -> tuple[str, ...]:
    return tuple(f"{k:06d}" for k in range(first, count))


def _found_twice(raw: Path) -> list[Expected]:
    shutil.copytree(raw / "hospital" / DOUBLED, raw / DOUBLED)
    return [Expected(DOUBLED, f"hospital/{DOUBLED}/{part}", "found twice") for part in ("image_left", "depth_left")]


MINIATURE = Miniature(
    name="tartanair",
    write=write,
    damages=(
        *picture_damages(Target(f"{PLAIN}/image_left/000004_left.png", PLAIN, ("000004",))),
        *npy_damages(Target(f"{PLAIN}/depth_left/000000_left_depth.npy", PLAIN, ("000000",))),
        *member_damages(IN_ZIP, IMAGES_ZIP),
        FIRST.damage("pose nan", spoil.line(0, "0 0 nan 0 0 0 1"), "pose holds nan"),
        FIFTH.damage("pose without rotation", spoil.line(5, "0 0 0 0 0 0 0"), "pose holds nan"),
        FIFTH.damage("pose cut off", spoil.line(5, "0 0 0 0 0"), "line 6: 5 numbers, expected"),
        *rare(
            FIFTH.damage("pose -inf", spoil.line(5, "0 0 -inf 0 0 0 1"), "pose holds -inf"),
            FIFTH.damage("pose garbage", spoil.line(5, "a b c d e f g"), "line 6: could not convert"),
        ),
        POSES.damage("fewer poses than frames", spoil.keep_lines(9), "9 lines", frames=_numbers(9, 12)),
        POSES.damage("no poses", spoil.remove, "missing", frames=_numbers(0, 12)),
        PICTURE_3.damage("picture of another size", spoil.other_size, "picture is 32x24"),
        DEPTH_3.damage(
            "depth of another size", spoil.npy(lambda array: array[::2, ::2]), "depth is 32x24, the picture is 64x48"
        ),
        Damage("trajectory found twice", _found_twice),
        unreadable_archive(DEPTHS_ZIP, Expected(ZIPPED, f"{ZIPPED}/depth_left", "missing", _numbers(0, 4))),
    ),
)
MINIATURES = (MINIATURE,)
