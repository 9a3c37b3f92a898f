"""Virtual KITTI 2 in small: drives in three roots side by side, in one tree, in tars as published; both cameras of each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, picture_damages, rare
from miniatures.files import jpeg, png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH, FOCAL = 30 * SCALE, 64 * SCALE, 36.0 * SCALE
BASELINE = 0.532725
SKY = 65535
K = pinhole(FOCAL, WIDTH / 2, HEIGHT / 2)
WORLD = Rotation.from_euler("xyz", (0.3, 2.0, -0.2)).as_matrix()  # the room's axes in the drive's world
ROOTS = {"rgb": "vkitti_2.0.3_rgb", "depth": "vkitti_2.0.3_depth", "textgt": "vkitti_2.0.3_textgt"}
IN_ROOTS, IN_ONE_TREE, IN_TARS = "Scene01/clone", "Scene06/15-deg-left", "Scene20/rain"


@dataclass
class Drive:
    """The files of a variation by part (rgb, depth, textgt), and the truth of both cameras."""

    files: dict[str, dict[str, bytes]]
    frames: tuple[list[TrueFrame], list[TrueFrame]]


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scenes = []
    for name, room, count in (
        (IN_ROOTS, Room((9.0, 6.0, 14.0), open_sky=True, seed=1), 6),
        (IN_ONE_TREE, Room((9.0, 6.0, 14.0), seed=2), 2),
        (IN_TARS, Room((12.0, 5.0, 20.0), open_sky=True, seed=3), 4),
    ):
        drive = drive_of(room, count)
        for part, files in drive.files.items():
            if name == IN_TARS:
                ending = "tar.gz" if part == "textgt" else "tar"
                written_tar(raw / f"{ROOTS[part]}.{ending}", {f"{name}/{file}": data for file, data in files.items()})
            else:
                to_folder(raw / ROOTS[part] / name if name == IN_ROOTS else raw / name, files)
        scenes += [TrueScene(f"{name}/Camera_{k}", "train", tuple(drive.frames[k])) for k in (0, 1)]
    return scenes


def drive_of(room: Room, count: int) -> Drive:
    """A drive through a room, with the second camera to the right of the first."""
    extrinsic = ["frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"]
    intrinsic = ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
    drive = Drive({part: {} for part in ROOTS}, ([], []))
    for k in range(count):
        left = room.pose(k)
        world_to_left = np.linalg.inv(turned(left, WORLD))
        for camera in (0, 1):
            beside, shift = np.eye(4), np.eye(4)
            beside[0, 3], shift[0, 3] = camera * BASELINE, -camera * BASELINE
            view = room.see(left @ beside, K, HEIGHT, WIDTH)
            world_to_cam = shift @ world_to_left
            extrinsic.append(" ".join([f"{k} {camera}", *(f"{value:.10g}" for value in world_to_cam.ravel())]))
            # The file counts from the first pixel's center.
            intrinsic.append(f"{k} {camera} {FOCAL:g} {FOCAL:g} {(WIDTH - 1) / 2:g} {(HEIGHT - 1) / 2:g}")
            stored = np.where(view.sky, SKY, np.rint(view.depth * 100)).astype(np.uint16)
            stored[3, 4:7] = 0
            name = f"{k:05d}"
            drive.files["rgb"][f"frames/rgb/Camera_{camera}/rgb_{name}.jpg"] = jpeg(view.image, 95)
            drive.files["depth"][f"frames/depth/Camera_{camera}/depth_{name}.png"] = png(stored)
            depth = np.where(stored == SKY, 0, stored / 100)
            pose = np.linalg.inv(world_to_cam)
            drive.frames[camera].append(TrueFrame(name, view.image, K, pose, depth, stored == SKY))
    texts = {"extrinsic.txt": extrinsic, "intrinsic.txt": intrinsic, "bbox.txt": [], "info.txt": []}
    drive.files["textgt"] = {name: "".join(f"{line}\n" for line in lines).encode() for name, lines in texts.items()}
    return drive


LEFT, RIGHT = (f"{IN_ROOTS}/Camera_{k}" for k in (0, 1))
RGB_2 = Target(f"{ROOTS['rgb']}/{IN_ROOTS}/frames/rgb/Camera_0/rgb_00002.jpg", LEFT, ("00002",))
DEPTH_4 = Target(f"{ROOTS['depth']}/{IN_ROOTS}/frames/depth/Camera_1/depth_00004.png", RIGHT, ("00004",))
EXTRINSIC, INTRINSIC = (f"{ROOTS['textgt']}/{IN_ROOTS}/{kind}.txt" for kind in ("extrinsic", "intrinsic"))
POSE_3 = Target(EXTRINSIC, RIGHT, ("00003",))  # on line 8, counted from 0
K_3 = Target(INTRINSIC, RIGHT, ("00003",))
ALL = tuple(f"{k:05d}" for k in range(6))


def _row(*values: float) -> str:
    return " ".join(map(str, (3, 1, *values)))


def _of_both(kind: str, file: str, harm: spoil.Harm, reason: str, scenes_go: bool = False) -> Damage:
    """A file that both cameras need: reported for each of the two."""

    def spoil_it(raw: Path) -> list[Expected]:
        harm(raw / file)
        if scenes_go:
            return [Expected(name, f"/{file.split('/', 1)[1]}", reason, lost_scenes=(name,)) for name in (LEFT, RIGHT)]
        return [Expected(name, file, reason, ALL) for name in (LEFT, RIGHT)]

    return Damage(kind, spoil_it)


def _without_line(number: int) -> spoil.Harm:
    return lambda file: file.write_text(
        "".join(line for k, line in enumerate(file.read_text().splitlines(True)) if k != number)
    )


def _lost_tar(raw: Path) -> list[Expected]:
    archive = f"{ROOTS['rgb']}.tar"
    spoil.truncate(raw / archive)
    lost = [(f"{IN_TARS}/Camera_{k}", f"{IN_TARS}/frames/rgb/Camera_{k}") for k in (0, 1)]
    missing = (Expected(name, images, "missing", lost_scenes=(name,)) for name, images in lost)
    return [Expected(archive, archive, "unreadable tar"), *missing]


COPY = f"z/{IN_ROOTS}/frames/rgb/Camera_0"

MINIATURE = Miniature(
    name="vkitti2",
    write=write,
    picture_tolerance=3.0,  # JPEG
    damages=(
        *picture_damages(RGB_2),
        *picture_damages(DEPTH_4, "depth", "cut off or altered|unreadable picture"),
        POSE_3.damage(
            "pose nan", spoil.line(8, _row(1, 0, 0, "nan", *[0] * 12)), "t1 is 'nan', expected a finite number"
        ),
        POSE_3.damage("pose without rotation", spoil.line(8, _row(*[0] * 16)), "pose is no rotation"),
        POSE_3.damage("no pose", _without_line(8), "no row of camera 1"),
        K_3.damage("no intrinsics", _without_line(8), "no row of camera 1"),
        K_3.damage(
            "intrinsics of another camera",
            spoil.line(8, "3 1 9000 9000 31.5 14.5"),
            "focal lengths 9000, 9000",
            blamed="00003",
        ),
        RGB_2.damage("picture of another size", spoil.other_size, "picture is 32x15", blamed=f"{LEFT}/00002"),
        DEPTH_4.damage("depth of 8 bits", spoil.put_picture(np.ones((HEIGHT, WIDTH), np.uint8)), "depth is uint8"),
        _of_both("poses missing", EXTRINSIC, spoil.remove, "missing, in every folder", scenes_go=True),
        _of_both("poses without the header", EXTRINSIC, _without_line(0), "no column cameraID"),
        found_twice(LEFT, COPY, lambda raw: (raw / COPY).mkdir(parents=True), "images found twice"),
        Damage("unreadable tar", _lost_tar),
        *rare(
            POSE_3.damage("pose garbage", spoil.line(8, "3 1 a b c"), "r1,1 is 'a', expected a finite number"),
            POSE_3.damage("pose cut off", spoil.line(8, "3 1 1 0 0 4"), "r2,1 is '', expected a finite number"),
            POSE_3.damage("pose mirrored", spoil.line(8, _row(-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)), "determinant -1"),
            _of_both("poses garbage", EXTRINSIC, spoil.garbage, "no column cameraID"),
            _of_both("intrinsics without the header", INTRINSIC, _without_line(0), r"no column K\[0,0\]"),
            DEPTH_4.damage("depth of another size", spoil.other_size, "depth is 32x15", blamed=f"{RIGHT}/00004"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
