"""DL3DV in small, twice: as downloaded (cameras only), and with depth.

As downloaded: a folder with a bent lens, whose transforms.json is in another order; a zip of upright pictures; a scene
of the benchmark with one level more, whose pictures and poses do not match; one without transforms.json.
With depth: the first again, with depth in a tree beside it; a zip that has depth in it; the processed release of CUT3R's
authors with its masks.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import (
    Target,
    found_twice,
    matrix_damages,
    member_damages,
    npy_damages,
    picture_damages,
    rare,
    unreadable_archive,
)
from miniatures.files import npy, npz, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned

BENT, ZIPPED, BENCHMARK, NO_POSES = f"1K/{'1f' * 32}", f"2K/{'2e' * 32}", "3d" * 32, f"4K/{'4c' * 32}"
DENSE = f"5K/{'5b' * 32}"
LENS = (-0.08, 0.02, 0.001, -0.002)  # k1, k2, p1, p2
NO_LENS = (0.0, 0.0, 0.0, 0.0)
# What Nerfstudio does to COLMAP's world: x and y change places, z is turned round.
APPLIED = np.array(((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)))


@dataclass(frozen=True)
class Video:
    """Pictures of a room, the camera as transforms.json tells it, and files below the scene's folder."""

    frames: tuple[TrueFrame, ...]
    files: dict[str, bytes]


def _video(
    room: Room, count: int, size: tuple[int, int], smaller: int, lens: tuple = NO_LENS, with_depth: bool = False
) -> Video:
    """`size` is height, width of the pictures, which are so many times smaller than what transforms.json tells."""
    height, width = size = size[0] * SCALE, size[1] * SCALE
    k = pinhole(0.9 * max(size), 0.51 * width, 0.48 * height)
    frames, files, entries = [], {}, []
    for place in range(count):
        room_pose, name = room.pose(place), f"frame_{place + 1:05d}"
        view = room.trace(room_pose, bent_rays(k, lens, height, width)) if any(lens) else room.see(room_pose, k, *size)
        cam_to_world = turned(room_pose, APPLIED)
        right, down, forward, centre = cam_to_world[:3].T
        opengl = np.eye(4)
        opengl[:3] = np.stack((right, -down, -forward, centre), axis=1)
        path = f"images/{name}.png"
        entries.append({"file_path": path, "transform_matrix": opengl.tolist(), "colmap_im_id": place + 1})
        files[f"images_{smaller}/{name}.png"] = png(view.image)
        depth = None
        if with_depth:
            depth = view.depth.astype(np.float32)
            raw = depth.copy()
            raw[3, 4:8], depth[3, 4:8] = (np.nan, -2.0, np.inf, 0.0), 0
            files[f"depth/{name}.npy"] = npy(raw)
        seen = (lambda found, pose=room_pose: room.see(pose, found, height, width)) if any(lens) else None
        frames.append(TrueFrame(name, view.image, k, cam_to_world, depth, seen=seen))
    values = {
        "w": width * smaller,
        "h": height * smaller,
        "fl_x": k[0, 0] * smaller,
        "fl_y": k[1, 1] * smaller,
        "cx": k[0, 2] * smaller,
        "cy": k[1, 2] * smaller,
        **dict(zip(("k1", "k2", "p1", "p2"), lens, strict=True)),
        "camera_model": "OPENCV",
        "frames": entries[::-1],
        "applied_transform": np.c_[APPLIED, np.zeros(3)].tolist(),
    }
    files["transforms.json"] = json.dumps(values, indent=1).encode()
    return Video(tuple(frames), files)


def bent_rays(k: np.ndarray, lens: tuple[float, ...], height: int, width: int) -> np.ndarray:
    """Directions [H, W, 3] of the pixels behind a lens of COLMAP's model OPENCV, by iteration of its definition."""
    k1, k2, p1, p2 = lens
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    bent_u, bent_v = (columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1]
    u, v = bent_u, bent_v
    for _ in range(60):
        r2 = u * u + v * v
        radial = k1 * r2 + k2 * r2 * r2
        u, v = (
            bent_u - (u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)),
            bent_v - (v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v)),
        )
    return np.stack((u, v, np.ones_like(u)), axis=-1)


def write(raw: Path) -> list[TrueScene]:
    """As downloaded."""
    bent = _video(Room(seed=1), 9, (54, 96), 4, LENS)
    to_folder(raw / BENT, bent.files)
    zipped = _video(Room((0.4, 0.5, 0.6), seed=2), 4, (96, 54), 8)
    to_zip(raw / f"{ZIPPED}.zip", zipped.files, top=Path(ZIPPED).name)
    benchmark = _video(Room(seed=3), 6, (54, 96), 2)
    files = dict(benchmark.files)
    files["images_2/frame_00007.png"] = files["images_2/frame_00006.png"]  # without a pose
    del files["images_2/frame_00003.png"]
    files["images_8/frame_00001.png"] = png(np.zeros((13, 24, 3), np.uint8))  # the smaller ones are not taken
    to_folder(raw / "benchmark" / BENCHMARK / "nerfstudio", files)
    to_folder(raw / "benchmark" / BENCHMARK / "gaussian_splat", {"cameras.json": b"[]"})
    to_folder(raw / NO_POSES, {"images_4/frame_00001.png": png(np.zeros((54, 96, 3), np.uint8))})
    kept = tuple(frame for frame in benchmark.frames if frame.name != "frame_00003")
    return [
        TrueScene(BENT, "train", bent.frames),
        TrueScene(ZIPPED, "train", zipped.frames),
        TrueScene(BENCHMARK, "train", kept),
    ]


def write_with_depth(raw: Path) -> list[TrueScene]:
    """With depth."""
    bent = _video(Room(seed=1), 8, (72, 128), 4, LENS, with_depth=True)
    to_folder(raw / "pictures" / BENT, {n: data for n, data in bent.files.items() if not n.startswith("depth")})
    to_folder(raw / "computed" / BENT, {n: data for n, data in bent.files.items() if n.startswith("depth")})
    zipped = _video(Room((0.4, 0.5, 0.6), seed=2), 4, (96, 54), 8, with_depth=True)
    to_zip(raw / "pictures" / f"{ZIPPED}.zip", zipped.files, top=Path(ZIPPED).name)
    return [
        TrueScene(BENT, "train", bent.frames),
        TrueScene(ZIPPED, "train", zipped.frames),
        TrueScene(DENSE, "train", _write_dense(raw / "processed_dl3dv" / DENSE / "dense")),
    ]


def _write_dense(folder: Path) -> tuple[TrueFrame, ...]:
    """Rectified pictures with masks: sky from 127 on, outliers from 110 on."""
    room, height, width = Room((4.0, 1.2, 4.0), open_sky=True, seed=4), 50, 88
    k = pinhole(75.0, width / 2 - 0.7, height / 2 + 0.3)
    frames, files = [], {}
    for place in range(6):
        pose, name = room.pose(place), f"frame_{place + 11:05d}"
        view = room.see(pose, k, height, width)
        depth = np.where(view.sky, 3.3, view.depth).astype(np.float32)  # what matching finds in the sky is wrong
        sky = np.where(view.sky, 127, 126).astype(np.uint8)
        sky[-1, :3] = 0
        outliers = np.zeros((height, width), np.uint8)
        depth[21, 10:13] = (-1.0, np.nan, np.inf)
        if place > 0:  # the first one has no mask
            outliers[20, 10:14] = (109, 110, 127, 255)
            depth[20, 11:14] = 700.0
        known = np.where(view.sky | (outliers > 109) | ~np.isfinite(depth) | (depth < 0), 0, depth)
        files[f"rgb/{name}.png"] = png(view.image)
        files[f"depth/{name}.npy"] = npy(depth)
        if outliers.any():
            files[f"outlier_mask/{name}.png"] = png(outliers)
        files[f"sky_mask/{name}.png"] = png(sky)
        cam_to_world = turned(pose, APPLIED)
        files[f"cam/{name}.npz"] = npz(intrinsic=k, pose=cam_to_world)
        frames.append(TrueFrame(name, view.image, k, cam_to_world, known, view.sky))
    to_folder(folder, files)
    return tuple(frames)


# Damages of what is downloaded: the scene with the bent lens goes as a whole, or frame_00004, or nothing.

TRANSFORMS = Target(f"{BENT}/transforms.json", BENT, scenes=(BENT,))
PICTURES = Target(f"{BENT}/images_4", BENT, scenes=(BENT,), blamed=BENT)
PICTURE_2, PICTURE_5 = (Target(f"{BENT}/images_4/frame_{k:05d}.png", BENT, (f"frame_{k:05d}",)) for k in (2, 5))
POSE_4 = Target(TRANSFORMS.file, BENT, ("frame_00004",))  # which stands sixth
IN_ZIP = Target(f"{Path(ZIPPED).name}/images_8/frame_00002.png", ZIPPED, ("frame_00002",))
AGAIN = f"again/{BENT}"


def _values(kind: str, reason: str, **changes: object) -> Damage:
    """Other values in transforms.json."""
    return TRANSFORMS.damage(kind, spoil.json_of(lambda values: values.update(changes)), reason)


def _matrix(change: Callable) -> spoil.Harm:
    """Another matrix of frame_00004."""

    def put(values: dict) -> None:
        matrix = change(values["frames"][5]["transform_matrix"])
        values["frames"][5]["transform_matrix"] = matrix.tolist() if isinstance(matrix, np.ndarray) else matrix

    return spoil.json_of(put)


def _not_a_matrix(kind: str, change: Callable, reason: str) -> Damage:
    return POSE_4.damage(f"pose {kind}", _matrix(change), f"frame 5: transform_matrix is {reason}")


def _entry(kind: str, path: object, reason: str) -> Damage:
    """An entry more that is no frame."""
    more = {"file_path": path, "transform_matrix": np.eye(4).tolist()}
    harm = spoil.json_of(lambda values: values["frames"].append(more))
    return TRANSFORMS.damage(f"frame {kind}", harm, f"frame 9: {reason}", scenes=())


MINIATURE = Miniature(
    name="dl3dv",
    write=write,
    metres_per_raw_unit=None,
    agreement=None,
    already_lost=(
        Expected(BENCHMARK, "images_2/frame_00003.png", "missing", ("frame_00003",)),
        Expected(BENCHMARK, "nerfstudio/images_2", "1 pictures have no pose"),
        Expected(NO_POSES, f"{NO_POSES}/transforms.json", "missing"),
    ),
    damages=(
        *picture_damages(PICTURE_5),
        *member_damages(IN_ZIP, f"{ZIPPED}.zip"),
        unreadable_archive(f"{ZIPPED}.zip", scenes=(ZIPPED,)),
        found_twice(BENT, f"raw/{AGAIN}", lambda raw: shutil.copytree(raw / BENT, raw / AGAIN)),
        PICTURE_2.damage(
            "picture of another size", spoil.other_size, "picture is 48x27, the pictures", blamed=f"{BENT}/frame_00002"
        ),
        PICTURES.damage("no pictures", spoil.remove, "no folder of pictures"),
        *TRANSFORMS.usual("poses", "unreadable JSON"),
        _values("another camera model", "camera_model is 'OPENCV_FISHEYE'", camera_model="OPENCV_FISHEYE"),
        *matrix_damages(POSE_4, _matrix),
        _not_a_matrix("cut off", lambda m: m[:3], r"\[3, 4\], expected"),
        *rare(
            PICTURE_2.damage(
                "picture of another shape",
                spoil.put_picture(np.zeros((96, 54, 3), np.uint8)),
                "picture is 54x96, expected the proportions of 384x216",
            ),
            TRANSFORMS.damage("poses nested deep", spoil.put("[" * 100_000), "unreadable JSON"),
            TRANSFORMS.damage("poses another JSON", spoil.put("[1, 2]"), "holds list, expected an object"),
            _values("focal length missing", "fl_x is None, expected a number", fl_x=None),
            _values("principal point a text", "cx is 480, expected a number", cx="480"),
            _values("focal length nan", "fl_y is nan, expected a number", fl_y=float("nan")),
            _values("distortion infinite", "k1 is -inf, expected a number", k1=float("-inf")),
            _values("size zero", "w and h are 0 and 216", w=0),
            _not_a_matrix("a text", lambda m: [["x", *m[0][1:]], *m[1:]], "no matrix"),
            _not_a_matrix("too large a number", lambda m: [[10**400, *m[0][1:]], *m[1:]], "no matrix"),
            _not_a_matrix("missing", lambda m: None, r"\[\], expected"),
            _entry("twice", "images/frame_00001.png", "frame_00001 stands there twice"),
            _entry("without a name", 7, "file_path is '7', expected a picture"),
            _entry("with a wild name", "images/\0.png", "file_path is"),
            _entry("that leaves its folder", "../../..", "file_path is"),
        ),
    ),
)


# Damages of depth, and of the fourth frame of the dense release.

DEPTH_3 = Target(f"computed/{BENT}/depth/frame_00003.npy", BENT, ("frame_00003",))
DEPTH_IN_ZIP = Target(f"{Path(ZIPPED).name}/depth/frame_00002.npy", ZIPPED, ("frame_00002",))


def _dense(file: str, blamed: str = "") -> Target:
    return Target(f"processed_dl3dv/{DENSE}/dense/{file}", DENSE, ("frame_00014",), blamed=blamed)


def _pose(change: Callable) -> spoil.Harm:
    return spoil.npz(lambda arrays: {**arrays, "pose": change(arrays["pose"])})


SKY_MASK, OUTLIER_MASK = _dense("sky_mask/frame_00014.png"), _dense("outlier_mask/frame_00014.png")
CAMERA = _dense("cam/frame_00014.npz")

WITH_DEPTH = Miniature(
    name="dl3dv",
    variant="with_depth",
    write=write_with_depth,
    metres_per_raw_unit=None,
    damages=(
        *npy_damages(DEPTH_3),
        DEPTH_3.damage(
            "depth of another size",
            spoil.npy(lambda array: array[::2, ::2]),
            "depth is 64x36, the picture is 128x72",
            blamed=f"{BENT}/frame_00003",
        ),
        *member_damages(DEPTH_IN_ZIP, f"pictures/{ZIPPED}.zip"),
        _dense("rgb/frame_00014.png").damage("dense picture missing", spoil.remove, "missing"),
        _dense("depth/frame_00014.npy").damage("dense depth missing", spoil.remove, "missing"),
        SKY_MASK.damage("sky mask of another size", spoil.other_size, "mask is 44x25", blamed=f"{DENSE}/frame_00014"),
        OUTLIER_MASK.damage("outlier mask of another size", spoil.other_size, "mask is 44x25, the depth is 88x50"),
        *CAMERA.usual("camera", "unreadable zip"),
        *matrix_damages(CAMERA, _pose),
        *rare(
            SKY_MASK.damage("sky mask truncated", spoil.truncate, "unreadable picture"),
            OUTLIER_MASK.damage("outlier mask empty", spoil.empty, "empty file"),
            CAMERA.damage(
                "camera without its pose",
                spoil.npz(lambda arrays: {"intrinsic": arrays["intrinsic"]}),
                "missing",
                blamed="frame_00014.npz/pose.npy",
            ),
            CAMERA.damage(
                "camera pickled",
                _pose(lambda m: m.astype(object)),
                "unreadable numpy",
                blamed="frame_00014.npz/pose.npy",
            ),
            CAMERA.damage("camera of texts", _pose(lambda m: m.astype(str)), "pose is <U32, expected numbers"),
            CAMERA.damage("camera a row short", _pose(lambda m: m[:3]), r"pose has shape \[3, 4\]"),
        ),
    ),
)
MINIATURES = (MINIATURE, WITH_DEPTH)
