"""DL3DV in small, twice: as downloaded (cameras only), and with depth.

As downloaded: a folder with a bent lens, whose transforms.json is in another order; a zip of upright pictures; a scene
of the benchmark with one level more, whose pictures and poses do not match; one without transforms.json.
With depth: the first again, with depth in a tree beside it; a zip that has depth in it; the processed release of CUT3R's
authors with its masks.
"""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from miniatures import damage
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.rooms import Room, pinhole, turned

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
    height, width = size
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
        files[f"images_{smaller}/{name}.png"] = _png(view.image[..., ::-1])
        depth = None
        if with_depth:
            depth = view.depth.astype(np.float32)
            raw = depth.copy()
            raw[3, 4:8], depth[3, 4:8] = (np.nan, -2.0, np.inf, 0.0), 0
            files[f"depth/{name}.npy"] = _npy(raw)
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
    _unpack(raw / BENT, bent.files)
    zipped = _video(Room((0.4, 0.5, 0.6), seed=2), 4, (96, 54), 8)
    _zip(raw / f"{ZIPPED}.zip", zipped.files)
    benchmark = _video(Room(seed=3), 6, (54, 96), 2)
    files = dict(benchmark.files)
    files["images_2/frame_00007.png"] = files["images_2/frame_00006.png"]  # without a pose
    del files["images_2/frame_00003.png"]
    files["images_8/frame_00001.png"] = _png(np.zeros((13, 24, 3), np.uint8))  # the smaller ones are not taken
    _unpack(raw / "benchmark" / BENCHMARK / "nerfstudio", files)
    _unpack(raw / "benchmark" / BENCHMARK / "gaussian_splat", {"cameras.json": b"[]"})
    _unpack(raw / NO_POSES, {"images_4/frame_00001.png": _png(np.zeros((54, 96, 3), np.uint8))})
    kept = tuple(frame for frame in benchmark.frames if frame.name != "frame_00003")
    return [
        TrueScene(BENT, "train", bent.frames),
        TrueScene(ZIPPED, "train", zipped.frames),
        TrueScene(BENCHMARK, "train", kept),
    ]


def write_with_depth(raw: Path) -> list[TrueScene]:
    """With depth."""
    bent = _video(Room(seed=1), 8, (72, 128), 4, LENS, with_depth=True)
    _unpack(raw / "pictures" / BENT, {n: data for n, data in bent.files.items() if not n.startswith("depth")})
    _unpack(raw / "computed" / BENT, {n: data for n, data in bent.files.items() if n.startswith("depth")})
    zipped = _video(Room((0.4, 0.5, 0.6), seed=2), 4, (96, 54), 8, with_depth=True)
    _zip(raw / "pictures" / f"{ZIPPED}.zip", zipped.files)
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
        files[f"rgb/{name}.png"] = _png(view.image[..., ::-1])
        files[f"depth/{name}.npy"] = _npy(depth)
        if outliers.any():
            files[f"outlier_mask/{name}.png"] = _png(outliers)
        files[f"sky_mask/{name}.png"] = _png(sky)
        cam_to_world = turned(pose, APPLIED)
        stream = io.BytesIO()
        np.savez(stream, intrinsic=k, pose=cam_to_world)
        files[f"cam/{name}.npz"] = stream.getvalue()
        frames.append(TrueFrame(name, view.image, k, cam_to_world, known, view.sky))
    _unpack(folder, files)
    return tuple(frames)


def _unpack(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _zip(archive: Path, files: dict[str, bytes]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(f"{archive.stem}/{name}", data)


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


# Damages of what is downloaded.

TRANSFORMS = f"{BENT}/transforms.json"


def _scene_lost(kind: str, harm: Callable[[Path], None], file: str, reason: str) -> Damage:
    """The scene with the bent lens goes as a whole."""

    def spoil(raw: Path) -> list[Expected]:
        harm(raw)
        return [Expected(BENT, file, reason, lost_scenes=(BENT,))]

    return Damage(kind, spoil)


def _text(kind: str, harm: Callable[[Path], None], reason: str) -> Damage:
    return _scene_lost(kind, lambda raw: harm(raw / TRANSFORMS), TRANSFORMS, reason)


def _values(kind: str, change: Callable[[dict], object], reason: str) -> Damage:
    """Other values in transforms.json, at the cost of the scene."""
    return _text(kind, lambda file: _change(file, change), reason)


def _matrix(kind: str, change: Callable[[list], object], reason: str) -> Damage:
    """Another matrix of frame_00004, which stands sixth."""

    def spoil(raw: Path) -> list[Expected]:
        _change(raw / TRANSFORMS, lambda v: v["frames"][5].update(transform_matrix=change(_matrix_of(v))))
        return [Expected(BENT, TRANSFORMS, reason, ("frame_00004",))]

    return Damage(kind, spoil)


def _entry(kind: str, path: object, reason: str) -> Damage:
    """An entry more that is no frame."""

    def spoil(raw: Path) -> list[Expected]:
        more = {"file_path": path, "transform_matrix": np.eye(4).tolist()}
        _change(raw / TRANSFORMS, lambda v: v["frames"].append(more))
        return [Expected(BENT, TRANSFORMS, reason)]

    return Damage(kind, spoil)


def _change(file: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def _matrix_of(values: dict) -> list:
    return values["frames"][5]["transform_matrix"]


def _with(matrix: list, row: int, column: int, value: object) -> list:
    return [[value if (r, c) == (row, column) else matrix[r][c] for c in range(4)] for r in range(4)]


def _wrong_size(raw: Path) -> list[Expected]:
    damage.other_size(raw / BENT / "images_4/frame_00002.png")
    return [Expected(BENT, f"{BENT}/frame_00002", "picture is 48x27, the pictures", ("frame_00002",))]


def _wrong_shape(raw: Path) -> list[Expected]:
    file = f"{BENT}/images_4/frame_00002.png"
    (raw / file).write_bytes(_png(np.zeros((96, 54, 3), np.uint8)))
    return [Expected(BENT, file, "picture is 54x96, expected the proportions of 384x216", ("frame_00002",))]


def _found_twice(raw: Path) -> list[Expected]:
    shutil.copytree(raw / BENT, raw / "again" / BENT)
    return [Expected(BENT, f"raw/again/{BENT}", "found twice")]


def _unreadable_archive(raw: Path) -> list[Expected]:
    damage.truncate(raw / f"{ZIPPED}.zip")
    return [Expected(f"{ZIPPED}.zip", f"{ZIPPED}.zip", "unreadable zip", lost_scenes=(ZIPPED,))]


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
        *damage.picture_damages(BENT, "frame_00005", f"{BENT}/images_4/frame_00005.png"),
        *damage.member_damages(ZIPPED, "frame_00002", f"{ZIPPED}.zip", f"{Path(ZIPPED).name}/images_8/frame_00002.png"),
        Damage("unreadable archive", _unreadable_archive),
        Damage("scene found twice", _found_twice),
        Damage("picture of another size", _wrong_size),
        Damage("picture of another shape", _wrong_shape),
        _scene_lost("no pictures", lambda raw: shutil.rmtree(raw / BENT / "images_4"), BENT, "no folder of pictures"),
        _text("poses truncated", damage.truncate, "unreadable JSON"),
        _text("poses empty", damage.empty, "empty file"),
        _text("poses missing", Path.unlink, "missing"),
        _text("poses garbage", damage.garbage, "unreadable JSON"),
        _text("poses a folder", damage.turn_into_folder, "is a folder"),
        _text("poses nested deep", lambda file: file.write_text("[" * 100_000), "unreadable JSON"),
        _text("poses another JSON", lambda file: file.write_text("[1, 2]"), "holds list, expected an object"),
        _values("lens missing", lambda v: v.pop("fl_x"), "fl_x is None, expected a number"),
        _values("lens a text", lambda v: v.update(cx="480"), "cx is 480, expected a number"),
        _values("lens nan", lambda v: v.update(fl_y=float("nan")), "fl_y is nan, expected a number"),
        _values("distortion infinite", lambda v: v.update(k1=float("-inf")), "k1 is -inf, expected a number"),
        _values("size zero", lambda v: v.update(w=0), "w and h are 0 and 216"),
        _values("another lens", lambda v: v.update(camera_model="OPENCV_FISHEYE"), "camera_model is 'OPENCV_FISHEYE'"),
        _matrix("pose nan", lambda m: _with(m, 0, 3, float("nan")), "pose holds nan"),
        _matrix("pose -inf", lambda m: _with(m, 1, 3, float("-inf")), "pose holds -inf"),
        _matrix("pose without rotation", lambda m: np.zeros((4, 4)).tolist(), "no rotation"),
        _matrix("pose mirrored", lambda m: [[-v for v in m[0]], *m[1:]], "determinant -1"),
        _matrix("pose a text", lambda m: _with(m, 0, 0, "x"), "frame 5: transform_matrix is no matrix"),
        _matrix("pose too large a number", lambda m: _with(m, 0, 0, 10**400), "frame 5: transform_matrix is no matrix"),
        _matrix("pose cut off", lambda m: m[:3], r"frame 5: transform_matrix is \[3, 4\], expected"),
        _matrix("pose missing", lambda m: None, r"frame 5: transform_matrix is \[\], expected"),
        _entry("frame twice", "images/frame_00001.png", "frame 9: frame_00001 stands there twice"),
        _entry("frame without a name", 7, "frame 9: file_path is '7', expected a picture"),
        _entry("frame with a wild name", "images/\0.png", "frame 9: file_path is"),
        _entry("frame that leaves its folder", "../../..", "frame 9: file_path is"),
    ),
)


# Damages of depth and of the dense release.

BENT_DEPTH = f"computed/{BENT}/depth/frame_00003.npy"
DENSE_FOLDER = f"processed_dl3dv/{DENSE}/dense"


def _dense(kind: str, file: str, harm: Callable[[Path], None], reason: str, blamed: str = "") -> Damage:
    """A file of the fourth frame of the dense scene."""
    whole = f"{DENSE_FOLDER}/{file}"

    def spoil(raw: Path) -> list[Expected]:
        harm(raw / whole)
        return [Expected(DENSE, blamed or whole, reason, ("frame_00014",))]

    return Damage(kind, spoil)


def _camera(kind: str, change: Callable[[dict], dict], reason: str, blamed: str = "") -> Damage:
    """Another camera of that frame."""

    def harm(file: Path) -> None:
        with np.load(file) as arrays:
            changed = change(dict(arrays))
        np.savez(file, **changed)

    return _dense(kind, "cam/frame_00014.npz", harm, reason, blamed)


def _nan_pose(arrays: dict) -> dict:
    arrays["pose"][1, 3] = np.nan
    return arrays


def _half_depth(raw: Path) -> list[Expected]:
    damage.change_npy(raw / BENT_DEPTH, lambda array: array[::2, ::2])
    return [Expected(BENT, f"{BENT}/frame_00003", "depth is 64x36, the picture is 128x72", ("frame_00003",))]


WITH_DEPTH = Miniature(
    name="dl3dv",
    write=write_with_depth,
    metres_per_raw_unit=None,
    damages=(
        *damage.npy_damages(BENT, "frame_00003", BENT_DEPTH),
        Damage("depth of another size", _half_depth),
        *damage.member_damages(
            ZIPPED, "frame_00002", f"pictures/{ZIPPED}.zip", f"{Path(ZIPPED).name}/depth/frame_00002.npy"
        ),
        _dense("dense picture missing", "rgb/frame_00014.png", Path.unlink, "missing"),
        _dense("dense depth missing", "depth/frame_00014.npy", Path.unlink, "missing"),
        _dense("sky mask truncated", "sky_mask/frame_00014.png", damage.truncate, "unreadable picture"),
        _dense(
            "sky mask of another size",
            "sky_mask/frame_00014.png",
            damage.other_size,
            "sky mask is 44x25",
            f"{DENSE}/frame_00014",
        ),
        _dense("outlier mask empty", "outlier_mask/frame_00014.png", damage.empty, "empty file"),
        _dense(
            "outlier mask of another size",
            "outlier_mask/frame_00014.png",
            damage.other_size,
            "mask is 44x25, the depth is 88x50",
        ),
        _dense("camera truncated", "cam/frame_00014.npz", damage.truncate, "unreadable zip"),
        _dense("camera empty", "cam/frame_00014.npz", damage.empty, "empty file"),
        _dense("camera missing", "cam/frame_00014.npz", Path.unlink, "missing"),
        _dense("camera garbage", "cam/frame_00014.npz", damage.garbage, "unreadable zip"),
        _dense("camera a folder", "cam/frame_00014.npz", damage.turn_into_folder, "is a folder"),
        _camera(
            "camera without its pose", lambda a: {"intrinsic": a["intrinsic"]}, "missing", "frame_00014.npz/pose.npy"
        ),
        _camera("camera pickled", lambda a: {**a, "pose": a["pose"].astype(object)}, "unreadable numpy", "pose.npy"),
        _camera("camera of texts", lambda a: {**a, "pose": a["pose"].astype(str)}, "pose is <U32, expected numbers"),
        _camera("camera nan", _nan_pose, "pose holds nan"),
        _camera("camera without rotation", lambda a: {**a, "pose": np.zeros((4, 4))}, "no rotation"),
        _camera("camera a row short", lambda a: {**a, "pose": a["pose"][:3]}, r"pose has shape \[3, 4\]"),
    ),
)
