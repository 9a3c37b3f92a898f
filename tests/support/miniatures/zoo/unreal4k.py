"""UnrealStereo4K in small: a scene in folders, one in a zip, the scene that is a test; a left-handed world, RGBA, disparities."""

from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import (
    Target,
    found_twice,
    member_damages,
    npy_damages,
    picture_damages,
    rare,
    unreadable_archive,
)
from miniatures.files import npy, rgba_png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned

HEIGHT, WIDTH, FOCAL = 36 * SCALE, 64 * SCALE, 32.0 * SCALE
K = pinhole(FOCAL, WIDTH / 2, HEIGHT / 2)
SWAP = np.eye(4)[[1, 0, 2, 3]]  # a reflection: the left-handed world's x and y for the right-handed one's
WORLD = np.array(((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)))  # z is up
IN_FOLDERS, IN_ZIP, TEST = "00000", "00003", "00008"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = {}
    for name, room, count in (
        (IN_FOLDERS, Room((3.0, 2.0, 4.0), open_sky=True, seed=1), 6),
        (IN_ZIP, Room((6.0, 4.0, 8.0), seed=2), 3),
        (TEST, Room((3.0, 2.0, 4.0), seed=3), 2),
    ):
        files, frames = pairs(room, count)
        if name == IN_ZIP:
            to_zip(raw / f"UnrealStereo4K_{name}.zip", files, top=name)
        else:
            to_folder(raw / name, files)
        scenes |= {f"{name}/{eye}": frames[eye] for eye in (0, 1)}
    split = {name: "test" if name.startswith(TEST) else "train" for name in scenes}
    return [TrueScene(name, split[name], tuple(scenes[name])) for name in sorted(scenes, key=lambda name: split[name])]


def pairs(room: Room, count: int) -> tuple[dict[str, bytes], tuple[list[TrueFrame], list[TrueFrame]]]:
    """Files of a scene, and the truth of both eyes, whose distance is another one in every frame."""
    files: dict[str, bytes] = {}
    frames: tuple[list[TrueFrame], list[TrueFrame]] = [], []
    for k in range(count):
        name, baseline = f"{k:05d}", 0.1 + 0.02 * k
        for eye in (0, 1):
            beside = np.eye(4)
            beside[0, 3] = eye * baseline
            pose = room.pose(k) @ beside
            view = room.see(pose, K, HEIGHT, WIDTH)
            with np.errstate(divide="ignore"):
                disparity = np.where(view.sky, 0.0005, baseline * FOCAL / view.depth).astype(np.float32)
            disparity[4, 5:9] = 0.0, -1.0, np.nan, np.inf
            alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
            alpha[10:20, 8:30] = 0
            cam_to_world = turned(pose, WORLD)
            world_to_cam = np.linalg.inv(cam_to_world) @ SWAP
            lines = (K.ravel(), world_to_cam[:3].ravel())
            files[f"Extrinsics{eye}/{name}.txt"] = "".join(
                " ".join(f"{value:.10g}" for value in line) + "\n" for line in lines
            ).encode()
            files[f"Image{eye}/{name}.png"] = rgba_png(view.image, alpha)
            files[f"Disp{eye}/{name}.npy"] = npy(disparity)
            sky = view.sky & (disparity > 0) & np.isfinite(disparity)
            depth = view.depth.copy()
            depth[4, 5:9] = 0
            frames[eye].append(TrueFrame(name, view.image, K, cam_to_world, depth, sky))
    return files, frames


IMAGE_2 = Target(f"{IN_FOLDERS}/Image0/00002.png", f"{IN_FOLDERS}/0", ("00002",))
DISPARITY_4 = Target(f"{IN_FOLDERS}/Disp1/00004.npy", f"{IN_FOLDERS}/1", ("00004",), blamed=f"{IN_FOLDERS}/1/00004")
CAMERA_3 = f"{IN_FOLDERS}/Extrinsics1/00003.txt"
ARCHIVE = f"UnrealStereo4K_{IN_ZIP}.zip"


def _of_both(kind: str, harm: spoil.Harm, reason: str) -> Damage:
    """A camera is needed for the depth of both eyes."""

    def spoil_it(raw: Path) -> list[Expected]:
        harm(raw / CAMERA_3)
        return [Expected(f"{IN_FOLDERS}/{eye}", CAMERA_3, reason, ("00003",)) for eye in (0, 1)]

    return Damage(kind, spoil_it)


def _in_one_place(file: Path) -> None:
    file.write_text(Path(str(file).replace("Extrinsics1", "Extrinsics0")).read_text())


def _pose(*values: object) -> spoil.Harm:
    return spoil.line(1, " ".join(map(str, values)))


COPY = f"z/{IN_FOLDERS}"

MINIATURE = Miniature(
    name="unreal4k",
    write=write,
    damages=(
        *picture_damages(IMAGE_2),
        *npy_damages(Target(f"{IN_FOLDERS}/Disp1/00004.npy", f"{IN_FOLDERS}/1", ("00004",))),
        *member_damages(Target(f"{IN_ZIP}/Image0/00001.png", f"{IN_ZIP}/0", ("00001",)), ARCHIVE),
        DISPARITY_4.damage(
            "disparity of another size",
            spoil.npy(lambda array: array[::2, ::2]),
            "depth is 32x18, the picture is 64x36",
        ),
        IMAGE_2.damage("picture of another size", spoil.other_size, "picture is 32x18", blamed=f"{IN_FOLDERS}/0/00002"),
        _of_both("camera missing", spoil.remove, "missing"),
        _of_both("pose nan", _pose(*[0] * 11, "nan"), "pose holds nan"),
        _of_both("pose without rotation", _pose(*[0] * 12), "expected beside it"),
        _of_both("pose cut off", _pose(1, 0, 0), "line 2: 3 numbers, expected a 3x4 matrix"),
        _of_both("eyes in one place", _in_one_place, "the right eye is 0 m to the right"),
        found_twice(f"{IN_FOLDERS}/0", COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=f"/{IN_FOLDERS}"),
        unreadable_archive(ARCHIVE, scenes=(f"{IN_ZIP}/0", f"{IN_ZIP}/1")),
        *rare(
            _of_both("pose -inf", _pose(*[0] * 11, "-inf"), "pose holds -inf"),
            _of_both("pose garbage", _pose("a", "b"), "line 2: could not convert"),
            _of_both("camera cut off", spoil.keep_lines(1), "1 lines, expected 2"),
            _of_both("camera garbage", spoil.garbage, "lines, expected 2"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
