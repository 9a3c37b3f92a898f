"""PointOdyssey in small: sequences in folders and in tars, one that is not trained on; saturated depth is sky."""

from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import (
    Target,
    found_twice,
    matrix_damages,
    picture_damages,
    rare,
)
from miniatures.files import jpeg, npz, png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH, FOCAL = 36 * SCALE, 64 * SCALE, 40.0 * SCALE
K = pinhole(FOCAL, WIDTH / 2 - 1.5, HEIGHT / 2 + 1)
HALF = np.array(((0, 0, 0.5), (0, 0, 0.5), (0, 0, 0)))  # the file counts from the first pixel's center
WORLD = Rotation.from_euler("xyz", (0.4, -1.0, 0.2)).as_matrix()
SKY = 65535
LONG, SHORT, OTHER, VALIDATION = "train/dancing", "train/kg_ego1", "train/animal_smpl_000", "val/ani10_new_f"
IN_PARTS = "train/girl"
ARCHIVES = {IN_PARTS: "train.tar.gz.partaa", VALIDATION: "val.tar.gz"}
INSIDE = "00001"  # a frame of SHORT whose camera is inside of something


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = {}
    for name, room, count in (
        (LONG, Room((60.0, 30.0, 90.0), open_sky=True, seed=1), 8),
        (SHORT, Room((20.0, 14.0, 25.0), seed=2), 4),
        (IN_PARTS, Room(seed=5), 2),
        (OTHER, Room(seed=3), 2),
        (VALIDATION, Room((30.0, 20.0, 40.0), seed=4), 3),
    ):
        files, frames = sequence(room, count)
        if name == SHORT:
            files[f"depths/depth_{INSIDE}.png"] = png(np.zeros((HEIGHT, WIDTH), np.uint16))
            del frames[int(INSIDE)]
        if name in ARCHIVES:
            written_tar(raw / ARCHIVES[name], {f"{name}/{file}": data for file, data in files.items()})
        else:
            to_folder(raw / name, files)
        scenes[name] = TrueScene(name, name.split("/")[0], tuple(frames))
    return [scenes[name] for name in (LONG, IN_PARTS, SHORT, VALIDATION)]


def sequence(room: Room, count: int) -> tuple[dict[str, bytes], list[TrueFrame]]:
    """Files of a sequence, and the truth."""
    files: dict[str, bytes] = {}
    frames, extrinsics = [], []
    for k in range(count):
        name, pose = f"{k:05d}", room.pose(k)
        view = room.see(pose, K, HEIGHT, WIDTH)
        stored = np.where(view.sky, SKY, np.rint(view.depth / 1000 * 65535)).astype(np.uint16)
        stored[6, 8:12] = 0
        world_to_cam = np.linalg.inv(turned(pose, WORLD)).astype(np.float32)
        files[f"rgbs/rgb_{name}.jpg"] = jpeg(view.image, 95)
        files[f"depths/depth_{name}.png"] = png(stored)
        files[f"normals/normal_{name}.jpg"] = files[f"masks/mask_{name}.png"] = b"not needed"
        depth = np.where(stored == SKY, 0, stored * (1000 / 65535))
        extrinsics.append(world_to_cam)
        truth = np.linalg.inv(world_to_cam.astype(np.float64))
        frames.append(TrueFrame(name, view.image, K, truth, depth, stored == SKY))
    points = turned(np.eye(4), WORLD)[:3, :3] @ (np.array(((0.2, 0.1, 0.5), (-0.3, 0.2, 0.4))) * room.half).T
    seen = np.array(extrinsics)[:, :3, :3] @ points + np.array(extrinsics)[:, :3, 3:]
    pixels = (K - HALF) @ seen
    arrays = {
        "trajs_2d": (pixels[:, :2] / pixels[:, 2:]).transpose(0, 2, 1).astype(np.float32),
        "trajs_3d": np.broadcast_to(points.T, (count, 2, 3)).astype(np.float32),
        "valids": np.ones((count, 2), bool),
        "visibs": np.ones((count, 2), bool),
        "intrinsics": np.broadcast_to(K - HALF, (count, 3, 3)).astype(np.float32),
        "extrinsics": np.array(extrinsics),
    }
    files["anno.npz"] = npz(**arrays)
    files["info.npz"] = npz(**{name: np.array(array.shape) for name, array in arrays.items()})
    return files, frames


RGB_2 = Target(f"{LONG}/rgbs/rgb_00002.jpg", LONG, ("00002",))
DEPTH_4 = Target(f"{LONG}/depths/depth_00004.png", LONG, ("00004",))
ALL = tuple(f"{k:05d}" for k in range(8))
CAMERAS = Target(f"{LONG}/anno.npz", LONG, ALL)
POSE_3 = Target(f"{LONG}/anno.npz", LONG, ("00003",))
COPY = f"z/{LONG}"


def _pose_of_3(change: object) -> spoil.Harm:
    def changed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays["extrinsics"][3] = change(arrays["extrinsics"][3])
        return arrays

    return spoil.npz(changed)


def _arrays(kind: str, reason: str, change: object) -> Damage:
    return CAMERAS.damage(kind, spoil.npz(lambda arrays: arrays | change(arrays)), reason)


def _version_1(raw: Path) -> list[Expected]:
    (raw / LONG / "anno.npz").rename(raw / LONG / "annot.npz")
    return [Expected(LONG, f"{LONG}/anno.npz", "missing; annot.npz is of version 1.0", lost_scenes=(LONG,))]


def _without_part(raw: Path) -> list[Expected]:
    (raw / "train.tar.gz.partab").unlink()
    return [Expected("train.tar.gz.partaa", "train.tar.gz.partaa", "one is missing", lost_scenes=(IN_PARTS,))]


MINIATURE = Miniature(
    name="pointodyssey",
    write=write,
    picture_tolerance=3.0,  # JPEG
    already_lost=(Expected(SHORT, f"{SHORT}/depths/depth_{INSIDE}.png", "no pixel has depth", (INSIDE,), usual=True),),
    damages=(
        *picture_damages(RGB_2),
        *picture_damages(DEPTH_4, "depth", "cut off or altered|unreadable picture"),
        *matrix_damages(POSE_3, _pose_of_3),
        DEPTH_4.damage("depth of 8 bits", spoil.put_picture(np.ones((HEIGHT, WIDTH), np.uint8)), "depth is uint8"),
        DEPTH_4.damage("depth of another size", spoil.other_size, "depth is 32x18", blamed=f"{LONG}/00004"),
        CAMERAS.damage("cameras truncated", spoil.truncate, "unreadable npz"),
        CAMERAS.damage("no cameras", spoil.remove, "missing"),
        CAMERAS.damage(
            "fewer cameras",
            spoil.npz(lambda arrays: {name: array[:5] for name, array in arrays.items()}),
            "5 cameras, fewer than frames",
            frames=ALL[5:],
        ),
        Damage("cameras of version 1.0", _version_1),
        found_twice(LONG, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=f"/{LONG}"),
        Target("val.tar.gz", "val.tar.gz").damage(
            "unreadable tar", spoil.truncate, "unreadable tar", scenes=(VALIDATION,)
        ),
        Damage("a part of a tar missing", _without_part),
        *rare(
            RGB_2.damage("picture of another size", spoil.other_size, "picture is 32x18", blamed=f"{LONG}/00002"),
            _arrays(
                "poses as a list",
                "extrinsics are float32\\[128\\], expected",
                lambda arrays: {"extrinsics": arrays["extrinsics"].ravel()},
            ),
            _arrays(
                "poses as texts", "extrinsics are <U", lambda arrays: {"extrinsics": arrays["extrinsics"].astype(str)}
            ),
            CAMERAS.damage(
                "no intrinsics",
                spoil.npz(lambda arrays: {"extrinsics": arrays["extrinsics"]}),
                "expected one intrinsics",
            ),
            CAMERAS.damage("cameras garbage", spoil.garbage, "unreadable npz"),
            CAMERAS.damage("cameras a folder", spoil.turn_into_folder, "is a folder"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
