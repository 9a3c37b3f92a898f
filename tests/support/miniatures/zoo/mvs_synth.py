"""MVS-Synth in small: a clip with sky, a short one in a tar, one with a pose of NaN; a mirrored world, half floats, infinity."""

import json
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, exr_damages, found_twice, picture_damages, rare
from miniatures.files import exr, png, rgba_png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar

HEIGHT, WIDTH, FOCAL = 36 * SCALE, 64 * SCALE, 40.0 * SCALE
K = pinhole(FOCAL, WIDTH / 2, HEIGHT / 2)
MIRROR = np.eye(4)[[1, 0, 2, 3]]  # the game's world has x and y swapped, and so it is left-handed
WORLD = np.array(((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)))
TOP = "GTAV_720"
ARCHIVE = f"{TOP}.tar.gz"
LONG, SHORT, LOST = "0000", "0001", "0017"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = []
    for name, room, count in (
        (LONG, Room((20.0, 12.0, 30.0), open_sky=True, seed=1), 12),
        (SHORT, Room((6.0, 4.0, 8.0), seed=2), 3),
        (LOST, Room((6.0, 4.0, 8.0), seed=3), 4),
    ):
        files, frames = clip(room, count, full=name != SHORT)
        if name == LOST:
            pose = json.loads(files["poses/0001.json"])
            pose["extrinsic"][0][3] = float("nan")  # JSON of Python's kind
            files["poses/0001.json"] = json.dumps(pose).encode()
            del frames[1]
        if name == SHORT:
            written_tar(raw / ARCHIVE, {f"{TOP}/{name}/{file}": data for file, data in files.items()})
        else:
            to_folder(raw / TOP / name, files)
        scenes.append(TrueScene(name, "train", tuple(frames)))
    counts = [12, 3, *[100] * 118]  # by the clip's number
    (raw / TOP / "num_images.json").write_text(json.dumps(counts))
    return scenes


def clip(room: Room, count: int, full: bool) -> tuple[dict[str, bytes], list[TrueFrame]]:
    """Files of a clip and its truth; not `full`: depth in whole floats, images with alpha."""
    files: dict[str, bytes] = {}
    frames = []
    for k in range(count):
        name, pose = f"{k:04d}", room.pose(k)
        view = room.see(pose, K, HEIGHT, WIDTH)
        depth = np.where(view.sky, np.inf, view.depth).astype(np.float16 if full else np.float32)
        depth[5, 6:9] = 0, -1, np.nan
        cam_to_world = turned(pose, WORLD)
        extrinsic = np.linalg.inv(cam_to_world) @ MIRROR
        camera = {"c_x": WIDTH / 2, "c_y": HEIGHT / 2, "f_x": FOCAL, "f_y": FOCAL, "extrinsic": extrinsic.tolist()}
        alpha = np.full((HEIGHT, WIDTH), 90, np.uint8)
        files[f"images/{name}.png"] = png(view.image) if full else rgba_png(view.image, alpha)
        files[f"depths/{name}.exr"] = exr(Y=depth)
        files[f"poses/{name}.json"] = json.dumps(camera).encode()
        sky = np.isinf(depth)
        known = np.where(sky | ~(depth > 0), 0, depth).astype(np.float64)
        frames.append(TrueFrame(name, view.image, K, cam_to_world, known, sky))
    return files, frames


IMAGE_2 = Target(f"{TOP}/{LONG}/images/0002.png", LONG, ("0002",))
DEPTH_4 = Target(f"{TOP}/{LONG}/depths/0004.exr", LONG, ("0004",))
POSE_3 = Target(f"{TOP}/{LONG}/poses/0003.json", LONG, ("0003",))


def _values(kind: str, reason: str, **values: object) -> Damage:
    return POSE_3.damage(kind, spoil.json_of(lambda found: found.update(values)), reason)


COPY = f"z/{TOP}/{LONG}"

MINIATURE = Miniature(
    name="mvs_synth",
    write=write,
    metres_per_raw_unit=None,
    already_lost=(Expected(LOST, f"{LOST}/poses/0001.json", "extrinsic is nan, expected a number", ("0001",)),),
    damages=(
        *picture_damages(IMAGE_2),
        *exr_damages(DEPTH_4),
        *POSE_3.usual("pose", "unreadable JSON"),
        _values("pose nan", "extrinsic is nan, expected a number", extrinsic=[[float("nan")] * 4] * 4),
        _values("pose without rotation", "pose is no rotation", extrinsic=[[0] * 4] * 4),
        _values("pose cut off", "extrinsic is .*, expected 4 lists of 4 numbers", extrinsic=[[1, 0, 0, 0]] * 3),
        _values("no focal length", "f_x is None, expected a number", f_x=None),
        IMAGE_2.damage("picture of another size", spoil.other_size, "picture is 32x18", blamed=f"{LONG}/0002"),
        DEPTH_4.damage(
            "depth of another size", spoil.exr(Y=np.ones((18, 32), np.float16)), "depth is 32x18", blamed=f"{LONG}/0004"
        ),
        Target(ARCHIVE, ARCHIVE).damage("unreadable tar", spoil.truncate, "unreadable tar", scenes=(SHORT,)),
        found_twice(LONG, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=f"{TOP}/{LONG}"),
        *rare(
            _values("pose of texts", "extrinsic is a, expected a number", extrinsic=[["a"] * 4] * 4),
            POSE_3.damage(
                "principal point outside",
                spoil.json_of(lambda found: found.update(c_x=900)),
                "principal point 900, 18 is outside",
                blamed=f"{LONG}/0003",
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
