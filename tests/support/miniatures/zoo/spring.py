"""Spring in small: a sequence that zooms in folders, one in a zip for each kind of file, a test sequence."""

import shutil
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, member_damages, picture_damages, rare, unreadable_archive
from miniatures.files import hdf5, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, View, pinhole, turned

HEIGHT, WIDTH = 36 * SCALE, 64 * SCALE
BASELINE = 0.065
PLAIN, ZIPPED = "0001/left", "0004/left"
FOLDER, IN_ZIP = "spring/train/0001", "spring/train/0004"
# Rows: any world will do; here right, forward, up in a room's right, down, forward.
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    plain = sequence(Room((20.0, 8.0, 25.0), open_sky=True, seed=2), 8)
    zipped = sequence(Room(seed=1), 3)
    to_folder(raw / FOLDER, plain[0])
    for kind, parts in (("frames", "frame_left"), ("disparities", "disp1_left"), ("cameras", "cam_data")):
        to_zip(raw / f"{kind}.zip", {name: data for name, data in zipped[0].items() if name.startswith(parts)}, IN_ZIP)
    test = {name: data for name, data in zipped[0].items() if name.startswith(("frame", "cam_data/intrinsics"))}
    to_folder(raw / "spring/test/0003", test)
    return [TrueScene(PLAIN, "train", plain[1]), TrueScene(ZIPPED, "train", zipped[1])]


def sequence(room: Room, count: int, side: str = "left") -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """The files of a sequence, and the truth, seen by one camera. Poses are always the left one's."""
    files, frames, poses, intrinsics = {}, [], [], []
    for k in range(count):
        focal = SCALE * (50.0 if k < count / 2 else 65.0 + k)  # the second half zooms
        camera = pinhole(focal, WIDTH / 2, HEIGHT / 2)
        poses.append(np.linalg.inv(turned(room.pose(k), Z_UP)))
        intrinsics.append((focal, focal, WIDTH / 2, HEIGHT / 2))
        pose = room.pose(k)
        if side == "right":
            pose[:3, 3] += BASELINE * pose[:3, 0]
        disparity, truth = _disparity(room, pose, focal)
        name = f"{k + 1:04d}"
        view = room.see(pose, camera, HEIGHT, WIDTH)
        files[f"frame_{side}/frame_{side}_{name}.png"] = png(view.image)
        files[f"disp1_{side}/disp1_{side}_{name}.dsp5"] = hdf5({"disparity": disparity}, compression="gzip")
        frames.append(TrueFrame(name, view.image, camera, turned(pose, Z_UP), truth.depth, truth.sky))
    for name, rows in (("extrinsics", poses), ("intrinsics", intrinsics), ("focaldistance", np.ones((count, 1)))):
        lines = [" ".join(f"{value:.12g}" for value in np.ravel(row)) for row in rows]
        files[f"cam_data/{name}.txt"] = ("\n".join(lines) + "\n").encode()
    return files, tuple(frames)


def _disparity(room: Room, pose: np.ndarray, focal: float) -> tuple[np.ndarray, View]:
    """Disparities in pixels of the image at twice its size, and what a pixel of the image has of them."""
    fine = room.see(pose, pinhole(2 * focal, WIDTH, HEIGHT), 2 * HEIGHT, 2 * WIDTH)
    disparity = np.divide(BASELINE * focal, fine.depth, out=np.zeros_like(fine.depth), where=~fine.sky)
    disparity[30, 22], disparity[41, 51] = np.nan, np.nan  # of the first four samples of a pixel, and of the last
    disparity = disparity.astype(np.float32)
    four = np.stack([disparity[i::2, j::2] for i in (0, 1) for j in (0, 1)]).astype(np.float64)
    depth = np.divide(BASELINE * focal, four, out=np.zeros_like(four), where=four > 0)
    one_surface = (four > 0).all(axis=0) & (four.max(axis=0) <= 1.02 * four.min(axis=0))
    return disparity, View(fine.image, np.where(one_surface, np.median(depth, axis=0), depth[0]), four[0] == 0)


def names(count: int, first: int = 1) -> tuple[str, ...]:
    """Names of frames."""
    return tuple(f"{k:04d}" for k in range(first, count + 1))


IMAGE = Target(f"{FOLDER}/frame_left/frame_left_0005.png", PLAIN, ("0005",))
DISPARITY = Target(f"{FOLDER}/disp1_left/disp1_left_0002.dsp5", PLAIN, ("0002",))
POSES, INTRINSICS = (Target(f"{FOLDER}/cam_data/{name}.txt", PLAIN, names(8)) for name in ("extrinsics", "intrinsics"))
TWICE = "twice/train/0001/disp1_left"


def _line(kind: str, target: Target, text: str, reason: str, blamed: str = "") -> Damage:
    """Another text on the fourth line: the fourth frame is lost."""
    return target.damage(kind, spoil.line(3, text), reason, frames=("0004",), blamed=blamed)


def _rows(*values: str) -> str:
    return " ".join(values + ("0",) * (16 - len(values)))


MINIATURE = Miniature(
    name="spring",
    write=write,
    damages=(
        *picture_damages(IMAGE),
        *DISPARITY.usual("disparity", "unreadable HDF5 file"),
        *member_damages(Target(f"{IN_ZIP}/frame_left/frame_left_0002.png", ZIPPED, ("0002",)), "frames.zip"),
        DISPARITY.damage(
            "disparity as fine as the image",
            spoil.hdf5(lambda array: array[::2, ::2], "disparity"),
            "disparity is 64x36, expected twice the image's 64x36",
        ),
        _line("pose nan", POSES, _rows("1", "0", "0", "nan"), "pose holds nan"),
        _line("pose without rotation", POSES, _rows(), "pose is no rotation"),
        _line("pose cut off", POSES, "1 0 0", "line 4: 3 numbers, expected a 4x4 matrix"),
        POSES.damage("fewer poses", spoil.keep_lines(6), "6 lines, fewer than frames", frames=names(8, 7)),
        POSES.damage("no poses", spoil.remove, "missing, in every", blamed="train/0001/cam_data/extrinsics.txt"),
        _line(
            "no focal length",
            INTRINSICS,
            "0 0 32 18",
            "focal lengths 0, 0 do not fit",
            blamed="0001/left/0004",
        ),
        found_twice(PLAIN, TWICE, lambda raw: shutil.copytree(raw / FOLDER / "disp1_left", raw / TWICE)),
        *rare(
            unreadable_archive(
                "disparities.zip", Expected(ZIPPED, "train/0004/disp1_left", "missing, in every", names(3))
            ),
            _line("pose -inf", POSES, _rows("1", "0", "0", "-inf"), "pose holds"),
            _line("pose garbage", POSES, "a b", "line 4: could not convert"),
            _line("intrinsics of three numbers", INTRINSICS, "50 32 18", "line 4: 3 numbers, expected fx fy cx cy"),
            INTRINSICS.damage(
                "no intrinsics", spoil.remove, "missing, in every", blamed="0001/cam_data/intrinsics.txt"
            ),
            DISPARITY.damage("other array", spoil.hdf5_of(np.ones((72, 128)), "data"), "holds no 'disparity'"),
            DISPARITY.damage(
                "disparity of integers", spoil.hdf5(lambda a: np.ones(a.shape, np.int16), "disparity"), "int16"
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
