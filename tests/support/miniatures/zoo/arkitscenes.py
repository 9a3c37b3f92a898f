"""ARKitScenes in small: a video for each way to hold the tablet; times beyond 999 s, gaps, kept zips, a video without poses."""

from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, picture_damages, rare
from miniatures.files import png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

LONG, SHORT = 160 * SCALE, 120 * SCALE  # of an image; depth has 0.4 of it
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
UP, LEFT, RIGHT, DOWN = (f"Training/4000000{k}" for k in (1, 2, 3, 4))
VALIDATION, NO_POSES = "Validation/41000001", "Training/47334522"
HELD = {UP: ("up", 12), LEFT: ("left", 4), RIGHT: ("right", 4), DOWN: ("down", 4), VALIDATION: ("up", 3)}
TURN = {
    "up": 0,
    "left": 90,
    "right": -90,
    "down": 180,
}  # degrees about the camera's axis, from upright to as it is held
TURNS = {"up": 0, "left": 1, "right": -1, "down": 2}  # quarter turns of the image, counterclockwise, from upright
FIRST = 999.5  # seconds
OUTSIDE = "1001.900"  # an image after the last pose, of UP
EARLY = 2  # the intrinsics of this image have a name a millisecond earlier
EXPECTED = "taken outside of the trajectory, or in a gap of it"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = []
    for number, (name, (held, count)) in enumerate(HELD.items()):
        files, frames = video(name[-8:], Room((3.0, 1.5, 4.0), seed=number), count, held)
        if name == UP:
            more, _ = video(name[-8:], Room((3.0, 1.5, 4.0), seed=number), 1, held, first=float(OUTSIDE))
            files |= {file: data for file, data in more.items() if file != "lowres_wide.traj"}
            files[f"vga_wide/{UP[-8:]}_1000.050.png"] = b"an image without depth of its time"
        if name == VALIDATION:
            for part in ("vga_wide", "lowres_depth"):
                (raw / name).mkdir(parents=True, exist_ok=True)
                of_part = {file: data for file, data in files.items() if file.startswith(f"{part}/")}
                to_zip(raw / name / f"{part}.zip", of_part)
                files = {file: data for file, data in files.items() if file not in of_part}
        to_folder(raw / name, files)
        scenes.append(TrueScene(name, SPLIT[name.split("/")[0]], tuple(frames)))
    to_folder(raw / NO_POSES, {"vga_wide/47334522_1.000.png": b"", "lowres_depth/47334522_1.000.png": b""})
    (raw / "metadata.csv").write_text("video_id,visit_id,is_in_upsampling\n40000001,420000,True\n")
    return scenes


SPLIT = {"Training": "train", "Validation": "val"}


def video(
    number: str, room: Room, count: int, held: str, first: float = FIRST
) -> tuple[dict[str, bytes], list[TrueFrame]]:
    """Files of a video, and its truth: upright."""
    upright = held in ("up", "down")
    width, height = (LONG, SHORT) if upright else (SHORT, LONG)
    k = pinhole(150.0 * SCALE, width / 2 + 4.0 * SCALE, height / 2 - 6.0 * SCALE)
    files: dict[str, bytes] = {}
    frames, rows = [], []
    for place in range(count):
        time = first + 0.2 * place
        pose = room.pose(place)
        cam_to_world = turned(pose, Z_UP)
        view, coarse = room.see(pose, k, height, width), room.see(pose, small(k), 2 * height // 5, 2 * width // 5)
        stored = np.rint(coarse.depth * 1000).astype(np.uint16)
        stamp = f"{number}_{time:.3f}"
        files[f"vga_wide/{stamp}.png"] = png(np.rot90(view.image, TURNS[held]))
        files[f"lowres_depth/{stamp}.png"] = png(np.rot90(stored, TURNS[held]))
        named = f"{number}_{time - 0.001 * (place == EARLY):.3f}"
        files[f"vga_wide_intrinsics/{named}.pincam"] = pincam(k, held, height, width).encode()
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_euler("z", TURN[held], degrees=True).as_matrix()
        world_to_cam = np.linalg.inv(cam_to_world @ turn)
        noise = 0.0004 * (-1) ** place
        vector = Rotation.from_matrix(world_to_cam[:3, :3]).as_rotvec()
        rows.append(" ".join(f"{v:.10f}" for v in (time + noise, *vector, *world_to_cam[:3, 3])))
        frames.append(TrueFrame(f"{time:.3f}", view.image, k, cam_to_world, view.depth))
    files["lowres_wide.traj"] = ("\n".join(rows) + "\n").encode()
    return files, frames


def small(k: np.ndarray) -> np.ndarray:
    """Intrinsics of the depth."""
    return np.diag((0.4, 0.4, 1.0)) @ k


def pincam(k: np.ndarray, held: str, height: int, width: int) -> str:
    """The camera as the sensor lies, from that of the upright image [height, width]."""
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    values = {
        "up": (width, height, fx, fy, cx, cy),
        "left": (height, width, fy, fx, cy, width - cx),
        "right": (height, width, fy, fx, height - cy, cx),
        "down": (width, height, fx, fy, width - cx, height - cy),
    }[held]
    return " ".join(f"{value:.10g}" for value in values) + "\n"


STAMP = UP[-8:]
TIMES = [f"{FIRST + 0.2 * k:.3f}" for k in range(12)]
IMAGE = Target(f"{UP}/vga_wide/{STAMP}_{TIMES[3]}.png", UP, (TIMES[3],))
DEPTH = Target(f"{UP}/lowres_depth/{STAMP}_{TIMES[4]}.png", UP, (TIMES[4],))
PINCAM = Target(f"{UP}/vga_wide_intrinsics/{STAMP}_{TIMES[5]}.pincam", UP, (TIMES[5],))
TRAJECTORY = Target(f"{DOWN}/lowres_wide.traj", DOWN, scenes=(DOWN,))
COPY = f"z/{UP}"


def _not_missing(damages: list[Damage]) -> list[Damage]:
    """An image without depth, or the other way round, is no frame."""
    return [damage for damage in damages if "missing" not in damage.kind]


def _gap(raw: Path) -> list[Expected]:
    """Without two poses, their images, and what lies between them, have none."""
    file = raw / UP / "lowres_wide.traj"
    lines = file.read_text().splitlines(True)
    file.write_text("".join(line for k, line in enumerate(lines) if k not in (6, 7)))
    return [Expected(UP, "", EXPECTED, (TIMES[k],), usual=True) for k in (6, 7)]


MINIATURE = Miniature(
    name="arkitscenes",
    write=write,
    options=("--every", "1"),
    depth_tolerance=0.04,  # depth has 0.4 of the image's size
    agreement=0.85,  # so the same
    already_lost=(
        Expected(UP, "", EXPECTED, (OUTSIDE,), usual=True),
        Expected(NO_POSES, "lowres_wide.traj", "missing"),
    ),
    damages=(
        *_not_missing(picture_damages(IMAGE)),
        *_not_missing(picture_damages(DEPTH, "depth", "cut off or altered|unreadable picture")),
        DEPTH.damage("depth of 8 bits", spoil.put_picture(np.ones((48, 64), np.uint8)), "depth is uint8"),
        DEPTH.damage(
            "depth of other proportions",
            spoil.put_picture(np.ones((24, 24), np.uint16)),
            "same proportions",
            blamed=f"{STAMP}_{TIMES[4]}.png",
        ),
        PINCAM.damage("intrinsics missing", spoil.remove, "missing"),
        PINCAM.damage("intrinsics cut off", spoil.put("160 120 150 150"), "4 numbers, expected width, height"),
        PINCAM.damage("intrinsics of words", spoil.put("a b c d e f"), "line 1: could not convert"),
        PINCAM.damage(
            "intrinsics of another size",
            spoil.put("120 160 150 150 60 80"),
            "image is 160x120, its .pincam says 120x160",
            blamed=f"{STAMP}_{TIMES[5]}.png",
        ),
        TRAJECTORY.damage("trajectory of NaN", spoil.line(3, "1000.1 nan 0 0 0 0 0"), "line 4 holds NaN"),
        TRAJECTORY.damage("trajectory of words", spoil.line(3, "a b c d e f g"), "line 4: could not convert"),
        TRAJECTORY.damage("trajectory empty", spoil.empty, "empty file"),
        Damage("poses lacking in the middle", _gap),
        found_twice(UP, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=UP),
        *rare(
            TRAJECTORY.damage("trajectory cut off", spoil.line(3, "1000.1 0 0"), "3 numbers, expected time"),
            PINCAM.damage(
                "principal point outside",
                spoil.put("160 120 150 150 900 60"),
                "principal point 900, 60 is outside",
                blamed=f"{UP}/{TIMES[5]}",
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
