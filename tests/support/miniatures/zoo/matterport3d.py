"""Matterport3D in small: a house that was unzipped, one in its four zips, one without overlaps."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, member_damages, picture_damages, rare
from miniatures.files import jpeg, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, turned

HEIGHT, WIDTH = 51 * SCALE, 64 * SCALE
FX, FY, CX, CY = 53.8 * SCALE, 53.9 * SCALE, 31.5 * SCALE, 22.4 * SCALE  # cy from the bottom
K = np.array(((FX, 0.0, CX), (0.0, FY, HEIGHT - CY), (0.0, 0.0, 1.0)))
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
OPENGL = np.diag((1.0, -1.0, -1.0, 1.0))
UNZIPPED, ZIPPED, ALONE = "17DRP5sb8fy", "1LXtFkjw3qL", "zsNo4HB9uLZ"
COLORS, DEPTHS = "undistorted_color_images", "undistorted_depth_images"
CAMERAS, OVERLAPS = "undistorted_camera_parameters", "image_overlap_data"


@dataclass
class House:
    """The files of a house by part, and the truth."""

    files: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {p: {} for p in (COLORS, DEPTHS, CAMERAS, OVERLAPS)}
    )
    frames: list[TrueFrame] = field(default_factory=list)


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scans = raw / "v1/scans"
    houses = {UNZIPPED: house(UNZIPPED, 1, 12), ZIPPED: house(ZIPPED, 2, 6), ALONE: house(ALONE, 3, 3)}
    for part, files in houses[UNZIPPED].files.items():
        to_folder(scans / UNZIPPED / UNZIPPED / part, files)
    for part, files in houses[ZIPPED].files.items():
        (scans / ZIPPED).mkdir(exist_ok=True)
        to_zip(scans / ZIPPED / f"{part}.zip", files, top=f"{ZIPPED}/{part}")
    for part in (COLORS, DEPTHS, CAMERAS):
        to_folder(raw / ALONE / part, houses[ALONE].files[part])
    return [TrueScene(name, "train", tuple(houses[name].frames)) for name in (UNZIPPED, ZIPPED, ALONE)]


def names_of(count: int) -> list[tuple[str, str]]:
    """Names of color and depth, six yaws of a camera after the other."""
    uuids = ("03a8325e3b054e3fad7e1e7091f9d283", "00ebbf3782c64d74aaf7dd39cd561175")
    places = [(uuids[k // 18], k // 6 % 3, k % 6) for k in range(count)]
    return [(f"{uuid}_i{camera}_{yaw}.jpg", f"{uuid}_d{camera}_{yaw}.png") for uuid, camera, yaw in places]


def house(name: str, seed: int, count: int) -> House:
    """A house of one room."""
    room, made = Room((3.0, 1.5, 4.0), seed=seed), House()
    lines = ["dataset matterport", f"n_images {count}", f"depth_directory {DEPTHS}", f"color_directory {COLORS}"]
    for k, (color, depth) in enumerate(names_of(count)):
        if k % 6 == 0:
            lines += ["", f"intrinsics_matrix {FX} 0 {CX}  0 {FY} {CY} 0 0 1"]
        pose = room.pose(k)
        view = room.see(pose, K, HEIGHT, WIDTH)
        stored = np.rint(view.depth * 4000).astype(np.uint16)
        stored[4:7, 5:9] = 0
        made.files[COLORS][color], made.files[DEPTHS][depth] = jpeg(view.image, 95), png(stored)
        cam_to_world = turned(pose, Z_UP)
        lines.append(f"scan {depth} {color}  " + " ".join(f"{value:.12g}" for value in (cam_to_world @ OPENGL).ravel()))
        made.frames.append(TrueFrame(color.removesuffix(".jpg"), view.image, K, cam_to_world, stored / 4000))
    made.files[CAMERAS][f"{name}.conf"] = ("\n".join(lines) + "\n").encode()
    pairs = [
        "C matterport_camera_poses/a.conf",
        *(f"II {k} {k + d} {1 - d / 10:g} 1 1 1 1" for k in range(count) for d in range(1, min(6, count - k))),
    ]
    made.files[OVERLAPS][f"{name}_iis.txt"] = "\n".join([*pairs, "II 0 0 1 1 1 1 1", "II 0 2 1 1 1 1 1"]).encode()
    return made


FOLDER = f"v1/scans/{UNZIPPED}/{UNZIPPED}"
FRAMES = [color.removesuffix(".jpg") for color, _ in names_of(12)]
IMAGE = Target(f"{FOLDER}/{COLORS}/{FRAMES[2]}.jpg", UNZIPPED, (FRAMES[2],))
DEPTH = Target(f"{FOLDER}/{DEPTHS}/{FRAMES[4].replace('_i', '_d')}.png", UNZIPPED, (FRAMES[4],))
CONF = Target(f"{FOLDER}/{CAMERAS}/{UNZIPPED}.conf", UNZIPPED, scenes=(UNZIPPED,))
POSE = Target(CONF.file, UNZIPPED, (FRAMES[3],))  # on line 9, counted from 0
MEMBER = Target(f"{ZIPPED}/{COLORS}/{FRAMES[1]}.jpg", ZIPPED, (FRAMES[1],))
COPY = f"z/{UNZIPPED}/{COLORS}"


def _scan(*values: object) -> spoil.Harm:
    """Another line of the fourth image."""
    color, depth = names_of(12)[3]
    return spoil.line(9, " ".join(map(str, ("scan", depth, color, *values))))


def _lost_zip(raw: Path) -> list[Expected]:
    archive = f"v1/scans/{ZIPPED}/{CAMERAS}.zip"
    spoil.truncate(raw / archive)
    missing = Expected(ZIPPED, f"{ZIPPED}/{CAMERAS}", "missing, in every folder and zip", lost_scenes=(ZIPPED,))
    return [Expected(archive, archive, "unreadable zip"), missing]


def _overlaps(kind: str, harm: spoil.Harm, reason: str) -> Damage:
    """The overlaps of a house, without which nothing is lost."""

    def spoil_it(raw: Path) -> list[Expected]:
        file = f"{FOLDER}/{OVERLAPS}/{UNZIPPED}_iis.txt"
        harm(raw / file)
        return [Expected(UNZIPPED, file, reason)]

    return Damage(kind, spoil_it)


MINIATURE = Miniature(
    name="matterport3d",
    write=write,
    picture_tolerance=3.0,  # JPEG
    damages=(
        *picture_damages(IMAGE),
        *picture_damages(DEPTH, "depth", "cut off or altered|unreadable picture"),
        DEPTH.damage("depth of 8 bits", spoil.put_picture(np.ones((HEIGHT, WIDTH), np.uint8)), "depth is uint8"),
        POSE.damage("pose nan", _scan(*["nan"] * 16), "pose holds nan"),
        POSE.damage("pose without rotation", _scan(*[0] * 16), "pose is no rotation"),
        CONF.damage("cameras missing", spoil.remove, "missing"),
        CONF.damage("a pose cut off", _scan(*[0] * 12), "line 10: cannot reshape"),
        CONF.damage("a pose of words", _scan(*["a"] * 16), "line 10: could not convert"),
        CONF.damage("no intrinsics", spoil.line(5, ""), "line 7: no intrinsics_matrix before it"),
        CONF.damage("no images", spoil.keep_lines(6), "holds no scan"),
        _overlaps(
            "overlaps of images that are not there", spoil.line(3, "II 0 99 0.5"), "line 4 is 'II 0 99 0.5', expected"
        ),
        _overlaps("overlaps of words", spoil.line(3, "II a b c"), "line 4 is 'II a b c'"),
        *member_damages(MEMBER, f"v1/scans/{ZIPPED}/{COLORS}.zip"),
        Damage("unreadable zip", _lost_zip),
        found_twice(UNZIPPED, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=f"{FOLDER}/{COLORS}"),
        *rare(
            POSE.damage("pose mirrored", _scan(-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1), "determinant -1"),
            IMAGE.damage(
                "picture of another size", spoil.other_size, "picture is 32x25", blamed=f"{UNZIPPED}/{FRAMES[2]}"
            ),
            DEPTH.damage("depth of another size", spoil.other_size, "depth is 32x25", blamed=f"{UNZIPPED}/{FRAMES[4]}"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
