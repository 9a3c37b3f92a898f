"""TartanAir in small: a folder as published, one with a doubled environment, zips as downloaded, an excluded one."""

import io
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
from miniatures import damage
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.rooms import Room, pinhole, turned
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH = 48, 64
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
                (raw / name).parent.mkdir(parents=True, exist_ok=True)
                with zipfile.ZipFile(raw / f"{Path(name).parent}/{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                    for file, data in files.items():
                        if file.startswith((part, "pose")):
                            archive.writestr(f"{name}/{file}", data)
        else:
            folder = raw / environment / name if name == DOUBLED else raw / name
            for file, data in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)
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
        files[f"image_left/{name}_left.png"] = cv2.imencode(".png", view.image[..., ::-1])[1].tobytes()
        files[f"depth_left/{name}_left_depth.npy"] = _npy(depth)
        body = cam_to_world[:3, :3] @ NED.T
        rows.append(" ".join(f"{v:.12e}" for v in (*cam_to_world[:3, 3], *Rotation.from_matrix(body).as_quat())))
        known = np.where(view.sky | ~(depth > 0), 0, depth)
        frames.append(TrueFrame(name, view.image, intrinsics, cam_to_world, known, view.sky & (depth > 0)))
    files["pose_left.txt"] = ("\n".join(rows) + "\n").encode()
    return files, tuple(frames)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _pose_damage(kind: str, line: int, text: str, reason: str) -> Damage:
    file = f"{PLAIN}/pose_left.txt"
    return damage.one_frame(kind, file, lambda f: damage.change_line(f, line, text), PLAIN, f"{line:06d}", reason)


def _short_poses(raw: Path) -> list[Expected]:
    damage.keep_lines(raw / PLAIN / "pose_left.txt", 9)
    return [Expected(PLAIN, f"{PLAIN}/pose_left.txt", "9 lines", ("000009", "000010", "000011"))]


def _no_poses(raw: Path) -> list[Expected]:
    (raw / PLAIN / "pose_left.txt").unlink()
    return [Expected(PLAIN, f"{PLAIN}/pose_left.txt", "missing", tuple(f"{k:06d}" for k in range(12)))]


def _other_size(raw: Path) -> list[Expected]:
    damage.other_size(raw / PLAIN / "image_left/000003_left.png")
    return [Expected(PLAIN, f"{PLAIN}/000003", "picture is 32x24", ("000003",))]


def _other_depth_size(raw: Path) -> list[Expected]:
    damage.change_npy(raw / PLAIN / "depth_left/000003_left_depth.npy", lambda array: array[::2, ::2])
    return [Expected(PLAIN, f"{PLAIN}/000003", "depth is 32x24, the picture is 64x48", ("000003",))]


def _found_twice(raw: Path) -> list[Expected]:
    shutil.copytree(raw / "hospital" / DOUBLED, raw / DOUBLED)
    parts = ("image_left", "depth_left")
    return [Expected(DOUBLED, f"hospital/{DOUBLED}/{part}", "found twice") for part in parts]


def _unreadable_archive(raw: Path) -> list[Expected]:
    archive = "seasidetown/Easy/depth_left.zip"
    damage.truncate(raw / archive)
    return [
        Expected(archive, archive, "unreadable zip"),
        Expected(ZIPPED, f"{ZIPPED}/depth_left", "missing", tuple(f"{k:06d}" for k in range(4))),
    ]


MINIATURE = Miniature(
    name="tartanair",
    write=write,
    damages=(
        *damage.picture_damages(PLAIN, "000004", f"{PLAIN}/image_left/000004_left.png"),
        *damage.npy_damages(PLAIN, "000000", f"{PLAIN}/depth_left/000000_left_depth.npy"),
        *damage.member_damages(
            ZIPPED, "000002", "seasidetown/Easy/image_left.zip", f"{ZIPPED}/image_left/000002_left.png"
        ),
        _pose_damage("pose nan", 0, "0 0 nan 0 0 0 1", "pose holds nan"),
        _pose_damage("pose -inf", 5, "0 0 -inf 0 0 0 1", "pose holds -inf"),
        _pose_damage("pose without rotation", 5, "0 0 0 0 0 0 0", "pose holds nan"),
        _pose_damage("pose cut off", 5, "0 0 0 0 0", "line 6: 5 numbers, expected"),
        _pose_damage("pose garbage", 5, "a b c d e f g", "line 6: could not convert"),
        Damage("fewer poses than frames", _short_poses),
        Damage("no poses", _no_poses),
        Damage("picture of another size", _other_size),
        Damage("depth of another size", _other_depth_size),
        Damage("trajectory found twice", _found_twice),
        Damage("unreadable archive", _unreadable_archive),
    ),
)
