"""TartanGround and TartanAir-V2 in small: folders and zips of both releases, two cameras, an environment that is left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, member_damages, picture_damages, rare, unreadable_archive
from miniatures.files import float_png, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

SIDE = 48 * SCALE
K = pinhole(SIDE / 2, SIDE / 2, SIDE / 2)  # 90 degrees
SKY = 10_000.0
V2, V2_ZIPPED = "AbandonedCable/Data_easy/P000", "House/Data_hard/P012"
GROUND, GROUND_ZIPPED, EXCLUDED = "Downtown/Data_omni/P0000", "Ruins/Data_diff/P1000", "Prison/Data_easy/P000"
# Rows: forward, right, down in a room's or camera's right, down, forward.
NED = np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
TO_THE_RIGHT = np.eye(4)
TO_THE_RIGHT[:3, :3] = Rotation.from_euler("y", 90, degrees=True).as_matrix()  # about what points down


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = []
    for name, room, count, cameras in (
        (V2, Room((12.0, 6.0, 16.0), open_sky=True, seed=1), 6, ("lcam_front",)),
        (V2_ZIPPED, Room(seed=2), 3, ("lcam_front",)),
        (GROUND, Room((6.0, 4.0, 8.0), seed=3), 4, ("lcam_front", "lcam_right")),
        (GROUND_ZIPPED, Room(seed=4), 3, ("lcam_front",)),
        (EXCLUDED, Room(seed=5), 2, ("lcam_front",)),
    ):
        for camera in cameras:
            files, frames = trajectory(room, count, camera)
            if name != EXCLUDED:
                scenes.append(TrueScene(f"{name}/{camera}", "train", frames))
            if name == V2_ZIPPED:  # at the environment, with whole paths in it
                for part in ("image", "depth"):
                    held = {file: data for file, data in files.items() if file.startswith((part, "pose"))}
                    to_zip(raw / Path(name).parent / f"{part}_{camera}.zip", held, top=name)
            elif name == GROUND_ZIPPED:  # in the trajectory
                for part, archive in (("image", f"image_{camera}"), ("depth", f"depth_{camera}"), ("pose", "metadata")):
                    held = {file: data for file, data in files.items() if file.startswith(part)}
                    to_zip(raw / name / f"{archive}.zip", held)
            else:
                to_folder(raw / name, files)
    to_folder(raw / GROUND, {"P0000_metadata.json": b'{"num_poses": 4}'})
    return sorted(scenes, key=lambda scene: scene.name)


def trajectory(room: Room, count: int, camera: str) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """Files of one camera of a trajectory, and the truth."""
    files, frames, rows = {}, [], []
    for k in range(count):
        pose = room.pose(k) @ (TO_THE_RIGHT if camera == "lcam_right" else np.eye(4))
        view = room.see(pose, K, SIDE, SIDE)
        cam_to_world = turned(pose, NED)
        depth = np.where(view.sky, SKY, view.depth).astype(np.float32)
        depth[20, 7:11] = 1.5, np.nan, -1.0, 0.0
        name = f"{k:06d}"
        files[f"image_{camera}/{name}_{camera}.png"] = png(view.image)
        files[f"depth_{camera}/{name}_{camera}_depth.png"] = float_png(depth)
        body = cam_to_world[:3, :3] @ NED.T
        rows.append(" ".join(f"{v:.12e}" for v in (*cam_to_world[:3, 3], *Rotation.from_matrix(body).as_quat())))
        sky = depth == SKY
        frames.append(TrueFrame(name, view.image, K, cam_to_world, np.where(sky | ~(depth > 0), 0, depth), sky))
    files[f"pose_{camera}.txt"] = ("\n".join(rows) + "\n").encode()
    return files, tuple(frames)


POSES = Target(f"{V2}/pose_lcam_front.txt", f"{V2}/lcam_front")
SECOND, FIFTH = replace(POSES, frames=("000002",)), replace(POSES, frames=("000005",))
IMAGE_3 = Target(f"{V2}/image_lcam_front/000003_lcam_front.png", f"{V2}/lcam_front", ("000003",))
DEPTH_1 = Target(f"{GROUND}/depth_lcam_right/000001_lcam_right_depth.png", f"{GROUND}/lcam_right", ("000001",))
ZIPPED, IN_TRAJECTORY = f"{V2_ZIPPED}/lcam_front", f"{GROUND_ZIPPED}/lcam_front"
DEPTH_ZIP = f"{GROUND_ZIPPED}/depth_lcam_front.zip"
COPY = f"z/{V2}"


def _lost_zip(raw: Path) -> list[Expected]:
    spoil.truncate(raw / DEPTH_ZIP)
    return [Expected(IN_TRAJECTORY, DEPTH_ZIP, "unreadable zip", lost_scenes=(IN_TRAJECTORY,))]


MINIATURE = Miniature(
    name="tartanground",
    write=write,
    options=("--cameras", "lcam_right,lcam_front"),
    damages=(
        *picture_damages(IMAGE_3),
        *picture_damages(DEPTH_1, "depth", "cut off or altered|unreadable picture|expected a PNG"),
        *member_damages(
            Target(f"{V2_ZIPPED}/image_lcam_front/000002_lcam_front.png", ZIPPED, ("000002",)),
            "House/Data_hard/image_lcam_front.zip",
        ),
        SECOND.damage("pose nan", spoil.line(2, "0 0 nan 0 0 0 1"), "pose holds nan"),
        FIFTH.damage("pose without rotation", spoil.line(5, "0 0 0 0 0 0 0"), "pose holds nan"),
        FIFTH.damage("pose cut off", spoil.line(5, "0 0 0 0 0"), "line 6: 5 numbers, expected"),
        POSES.damage("fewer poses", spoil.keep_lines(4), "4 lines", frames=("000004", "000005")),
        POSES.damage("no poses", spoil.remove, "missing", scenes=(f"{V2}/lcam_front",)),
        IMAGE_3.damage(
            "picture of another size", spoil.other_size, "picture is 24x24", blamed=f"{V2}/lcam_front/000003"
        ),
        DEPTH_1.damage(
            "depth of another size", spoil.other_size, "depth is 24x24", blamed=f"{GROUND}/lcam_right/000001"
        ),
        DEPTH_1.damage(
            "depth without its fourth byte",
            spoil.put_picture(np.ones((SIDE, SIDE, 3), np.uint8)),
            "3 channels, expected 4",
        ),
        found_twice(
            f"{V2}/lcam_front",
            f"{COPY}/image_lcam_front",
            lambda raw: (raw / COPY / "image_lcam_front").mkdir(parents=True),
            used=f"{V2}/image_lcam_front",
        ),
        Damage("unreadable archive in a trajectory", _lost_zip),
        unreadable_archive(
            "House/Data_hard/depth_lcam_front.zip",
            Expected(ZIPPED, f"{V2_ZIPPED}/depth_lcam_front", "missing", lost_scenes=(ZIPPED,)),
        ),
        *rare(
            FIFTH.damage("pose -inf", spoil.line(5, "0 0 -inf 0 0 0 1"), "pose holds -inf"),
            FIFTH.damage("pose garbage", spoil.line(5, "a b c d e f g"), "line 6: could not convert"),
            DEPTH_1.damage(
                "depth of 16 bits", spoil.put_picture(np.ones((SIDE, SIDE), np.uint16)), "are uint16, expected 8 bits"
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
