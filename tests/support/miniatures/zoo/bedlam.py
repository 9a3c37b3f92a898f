"""BEDLAM in small: a job with two sequences, one that zooms in a nested folder, one in zips and a tar, and what is left out."""

import shutil
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import (
    Target,
    exr_damages,
    found_twice,
    member_damages,
    picture_damages,
    rare,
    unreadable_archive,
)
from miniatures.files import exr, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole
from miniatures.tars import written_tar

HEIGHT, WIDTH = 36 * SCALE, 64 * SCALE
STATIC = "20221013_3_250_batch01hand_static_bigOffice"
ZOOM = "20221020-3-8_250_highbmihand_zoom_highSchoolGym_a"  # with a dash after the date
STADIUM = "20221018_3-8_250_batch01hand_pitchUp52_stadium"  # its name begins as that of HDRI
HDRI, CLOSE_UP = "20221018_3-8_250_batch01hand", "20221011_1_250_batch01hand_closeup_suburb_a"
FIRST, SECOND, SKIPPED = "seq_000000", "seq_000001", "seq_000015"
HEADER = "name,x,y,z,yaw,pitch,roll,focal_length,sensor_width,sensor_height,hfov"
SENSOR = (36.0, 20.25)  # millimeters


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    first, second, zoom, stadium = (
        sequence(FIRST, Room(seed=1), 30),
        sequence(SECOND, Room(seed=2), 14),
        sequence(FIRST, Room((20.0, 8.0, 25.0), open_sky=True, seed=3), 9, zooms=True),
        sequence(FIRST, Room((30.0, 12.0, 40.0), open_sky=True, seed=4), 9),
    )
    to_folder(raw / STATIC, {**first[0], **second[0], **sequence(SKIPPED, Room(), 1)[0], "be_seq.csv": b"not read"})
    to_folder(raw / ZOOM / ZOOM, zoom[0])
    for name in ("png", "depth"):
        held = {file: data for file, data in stadium[0].items() if file.startswith(name)}
        to_zip(raw / f"archives/{STADIUM}_{name}.zip", held, top=STADIUM)
    held = {f"{STADIUM}/{file}": data for file, data in stadium[0].items() if file.startswith("ground_truth")}
    written_tar(raw / f"archives/{STADIUM}_gt.tar", held)
    for job in (HDRI, CLOSE_UP):
        to_folder(raw / job, sequence(FIRST, Room(), 1)[0])
    return [
        TrueScene(f"{STATIC}/{FIRST}", "train", first[1]),
        TrueScene(f"{STATIC}/{SECOND}", "train", second[1]),
        TrueScene(f"{STADIUM}/{FIRST}", "train", stadium[1]),
        TrueScene(f"{ZOOM}/{FIRST}", "train", zoom[1]),
    ]


def sequence(name: str, room: Room, count: int, zooms: bool = False) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """The files of a sequence in the folder of its job, and the truth of every fifth image: only they have depth."""
    files, frames, lines = {}, [], [HEADER]
    for k in range(count):
        frame, pose = f"{name}_{k:04d}", room.pose(k / 2)
        millimeters = 30.0 + (k if zooms else 0)
        lines.append(f"{frame}.png," + ",".join(f"{v:.10f}" for v in (*unreal(pose), millimeters, *SENSOR, 0.0)))
        if k % 5:
            files[f"png/{name}/{frame}.png"] = b"not read"
            continue
        intrinsics = pinhole(millimeters / SENSOR[0] * WIDTH, WIDTH / 2, HEIGHT / 2)
        view = room.see(pose, intrinsics, HEIGHT, WIDTH)
        depth = np.where(view.sky, 3e9, view.depth * 100).astype(np.float32)
        depth[2, 3:6] = np.inf, np.nan, 25_000.0  # infinitely far, unknown, 250 m
        files[f"png/{name}/{frame}.png"] = png(view.image)
        files[f"depth/{name}/{frame}_depth.exr"] = exr(Depth=depth)
        sky = depth >= 100_000
        known = np.where(sky | np.isnan(depth), 0, depth.astype(np.float64) / 100)
        frames.append(TrueFrame(f"{k:04d}", view.image, intrinsics, pose, known, sky))
    files[f"ground_truth/camera/{name}_camera.csv"] = ("\n".join(lines) + "\n").encode()
    return files, tuple(frames)


def unreal(pose: np.ndarray) -> tuple[float, ...]:
    """x, y, z in centimeters and yaw, pitch, roll in degrees, as Unreal has them, of a camera in a room's axes.

    Unreal's axes are forward, right, up. Its matrix of a turn holds as rows where the camera looks: (cos pitch cos yaw,
    cos pitch sin yaw, sin pitch), what is right of it, whose height is -sin roll cos pitch, and what is above it, whose
    height is cos roll cos pitch.
    """
    to_unreal = np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)))
    right, down, forward = (to_unreal @ pose[:3, axis] for axis in range(3))
    angles = np.arctan2(forward[1], forward[0]), np.arcsin(forward[2]), np.arctan2(-right[2], -down[2])
    return (*(to_unreal @ pose[:3, 3] * 100), *np.degrees(angles))


SCENE = f"{STATIC}/{FIRST}"
IMAGE = Target(f"{STATIC}/png/{FIRST}/{FIRST}_0005.png", SCENE, ("0005",))
DEPTH = Target(f"{STATIC}/depth/{FIRST}/{FIRST}_0010_depth.exr", SCENE, ("0010",))
CAMERAS = Target(f"{STATIC}/ground_truth/camera/{FIRST}_camera.csv", SCENE, tuple(f"{k:04d}" for k in range(0, 30, 5)))
PNG_ZIP, DEPTH_ZIP = (f"archives/{STADIUM}_{part}.zip" for part in ("png", "depth"))
IN_ZIP = Target(f"{STADIUM}/png/{FIRST}/{FIRST}_0005.png", f"{STADIUM}/{FIRST}", ("0005",))
NO_DEPTHS = Target(f"{STATIC}/depth/{FIRST}", SCENE, scenes=(SCENE,))
TWICE = f"more/{STATIC}/depth"


def _camera(kind: str, column: str, value: object, reason: str) -> Damage:
    """Another value in the row of image 15."""

    def harm(file: Path) -> None:
        words = file.read_text().splitlines()[16].split(",")
        words[HEADER.split(",").index(column)] = str(value)
        spoil.line(16, ",".join(words))(file)

    return CAMERAS.damage(kind, harm, reason, frames=("0015",))


def _copy(raw: Path) -> None:
    shutil.copytree(raw / STATIC / "depth" / FIRST, raw / TWICE / FIRST)


MINIATURE = Miniature(
    name="bedlam",
    write=write,
    damages=(
        *picture_damages(IMAGE),
        *exr_damages(DEPTH),
        *member_damages(IN_ZIP, PNG_ZIP),
        IMAGE.damage("picture of another size", spoil.other_size, "picture is 32x18", blamed=f"{SCENE}/0005"),
        NO_DEPTHS.damage("no depth of a sequence", spoil.remove, "missing, in every folder and archive"),
        _camera("pose nan", "x", "nan", "x is 'nan', expected a finite number"),
        _camera("no row of an image", "name", "another.png", "no row for an image"),
        _camera("focal length 0", "focal_length", 0, "focal_length is '0', expected a positive number"),
        CAMERAS.damage("cameras of fewer images", spoil.keep_lines(17), "no row for an image", frames=("0020", "0025")),
        found_twice(SCENE, f"{TWICE}/{FIRST}", _copy),
        *rare(
            CAMERAS.damage("no cameras", spoil.remove, "missing, in every", frames=(), scenes=(SCENE,)),
            CAMERAS.damage("cameras empty", spoil.empty, "empty file"),
            CAMERAS.damage("cameras without a column", spoil.put("name,x,y\n"), "no column"),
            _camera("angle of words", "yaw", "left", "yaw is 'left', expected a finite number"),
            _camera("pose -inf", "y", "-inf", "y is '-inf', expected a finite number"),
            unreadable_archive(
                DEPTH_ZIP, Expected(f"{STADIUM}/{FIRST}", f"{STADIUM}/depth/{FIRST}", "missing, in", ("0000", "0005"))
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
