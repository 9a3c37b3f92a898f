"""OmniObject3D in small: an object in folders, one in the tar of its category, one whose images lack alpha; whole path names."""

import json
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, exr_damages, found_twice, picture_damages, rare
from miniatures.files import exr, png, rgba_png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar

SIDE = 48 * SCALE
FOCAL = SIDE / 2 / np.tan(0.6911 / 2)
K = pinhole(FOCAL, SIDE / 2, SIDE / 2)
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
OPENGL = np.diag((1.0, -1.0, -1.0, 1.0))
ANISE, TARRED, OPAQUE = "anise_001", "bread_012", "anise_002"
ARCHIVE = "bread.tar.gz"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    anise, tarred, opaque = (
        thing(Room((0.8, 0.7, 1.0), seed=1), 12, 0.05),
        thing(Room((0.9, 0.6, 0.8), seed=2), 4, 0.0125),
        thing(Room(seed=3), 3, 0.5, opaque=True),
    )
    to_folder(raw / f"blender_renders/anise/{ANISE}/render", anise[0])
    to_folder(raw / f"blender_renders/anise/anise/{OPAQUE}/render", opaque[0])
    to_folder(raw / f"blender_renders_24_views/anise/{ANISE}/render", opaque[0])
    written_tar(
        raw / "blender_renders" / ARCHIVE, {f"{TARRED}/render/{name}": data for name, data in tarred[0].items()}
    )
    return [TrueScene(name, "train", made[1]) for name, made in ((ANISE, anise), (OPAQUE, opaque), (TARRED, tarred))]


def thing(room: Room, count: int, scale: float, opaque: bool = False) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """Files of an object, and the truth, in meters; `opaque`: images without alpha."""
    files: dict[str, bytes] = {}
    entries, frames = [], []
    rows, columns = np.indices((SIDE, SIDE))
    outside = (rows - SIDE / 2) ** 2 + (columns - SIDE / 2) ** 2 > (0.48 * SIDE) ** 2
    for k in range(count):
        pose = room.pose(k)
        view = room.see(pose, K, SIDE, SIDE)
        stored = np.where(outside, 65504.0, view.depth).astype(np.float16)
        alpha = np.where(outside, 0, 255).astype(np.uint8)
        alpha[SIDE // 2, : SIDE // 4] = 1
        alpha[SIDE // 2 + 1 : SIDE // 2 + 4] = np.where(outside[SIDE // 2 + 1 : SIDE // 2 + 4], 0, 128)
        files[f"images/r_{k}.png"] = png(view.image) if opaque else rgba_png(view.image, alpha)
        files[f"depths/r_{k}_depth.exr"] = exr(R=stored, G=stored, B=stored)
        cam_to_world = turned(pose, Z_UP)
        path = f"/home/someone/renders/r_{k}" if k % 2 else f"render/r_{k}"
        entries.append(
            {"file_path": path, "rotation": 0.1, "transform_matrix": (cam_to_world @ OPENGL).tolist(), "scale": scale}
        )
        share = alpha[..., None] / 255
        image = view.image if opaque else np.rint(view.image * share + 255 * (1 - share)).astype(np.uint8)
        known = np.where(outside, 0, stored.astype(np.float64)) / (scale * 1000)
        cam_to_world[:3, 3] /= scale * 1000
        frames.append(TrueFrame(f"{k:03d}", image, K, cam_to_world, known, object=known > 0 if opaque else alpha > 0))
    files["transforms.json"] = json.dumps({"camera_angle_x": 0.6911, "frames": entries[::-1]}).encode()
    return files, tuple(frames)


FOLDER = f"blender_renders/anise/{ANISE}/render"
IMAGE = Target(f"{FOLDER}/images/r_2.png", ANISE, ("002",))
DEPTH = Target(f"{FOLDER}/depths/r_10_depth.exr", ANISE, ("010",))
CAMERAS = Target(f"{FOLDER}/transforms.json", ANISE, scenes=(ANISE,))
POSE = Target(f"{FOLDER}/transforms.json", ANISE, ("003",))
COPY = f"z/{ANISE}/render"


def _frame(key: str, value: object) -> spoil.Harm:
    """Another value of frame 3."""

    def put(values: dict) -> None:
        next(frame for frame in values["frames"] if frame["file_path"].endswith("r_3"))[key] = value

    return spoil.json_of(put)


def _lost_tar(raw: Path) -> list[Expected]:
    spoil.truncate(raw / "blender_renders" / ARCHIVE)
    return [Expected(f"blender_renders/{ARCHIVE}", ARCHIVE, "unreadable tar", lost_scenes=(TARRED,))]


MINIATURE = Miniature(
    name="omniobject3d",
    write=write,
    picture_tolerance=0.01,  # rounding of halves
    damages=(
        *picture_damages(IMAGE),
        *exr_damages(DEPTH),
        POSE.damage("pose nan", _frame("transform_matrix", [[float("nan")] * 4] * 4), "pose holds nan"),
        POSE.damage("pose without rotation", _frame("transform_matrix", [[0] * 4] * 4), "pose is no rotation"),
        POSE.damage("pose cut off", _frame("transform_matrix", [[1, 0, 0, 0]]), "no 4x4 matrix of numbers"),
        CAMERAS.damage("cameras missing", spoil.remove, "missing"),
        CAMERAS.damage("cameras truncated", spoil.truncate, "unreadable JSON"),
        CAMERAS.damage("two scales", _frame("scale", 0.06), "scale is 0.05 and 0.06, expected one above 0"),
        CAMERAS.damage("no scale", _frame("scale", None), "scale is None, expected a number"),
        CAMERAS.damage("a frame of another name", _frame("file_path", "x/y_3"), "file_path x/y_3, expected"),
        IMAGE.damage("picture of another size", spoil.other_size, "picture is 24x24", blamed=f"{ANISE}/002"),
        DEPTH.damage(
            "depth of another size", spoil.exr(R=np.ones((24, 24), np.float16)), "depth is 24x24", blamed=f"{ANISE}/010"
        ),
        Damage("unreadable tar", _lost_tar),
        found_twice(ANISE, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=FOLDER),
        *rare(
            CAMERAS.damage("cameras garbage", spoil.garbage, "unreadable JSON"),
            CAMERAS.damage(
                "no angle",
                spoil.json_of(lambda values: values.update(camera_angle_x=4)),
                "expected radians from 0 to pi",
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
