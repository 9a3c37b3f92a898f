"""GTA-SfM in small: a sequence of more than ten frames with a gap, one in the other spelling, a test sequence in a tar."""

import shutil
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, rare, unreadable_archive
from miniatures.files import hdf5, jpeg, png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar

HEIGHT, WIDTH = 48 * SCALE, 64 * SCALE
LONG, SHORT, TEST = "train/20190124_203632", "train/20190125_101500", "test/20190203_170211"
GAP = 5  # no frame of LONG has this number
# Rows: east, north, up (the game's world) in a room's right, down, forward.
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    numbers = [k for k in range(13) if k != GAP]
    long, short, test = (
        _sequence(Room((20.0, 15.0, 30.0), seed=1), numbers),
        _sequence(Room((20.0, 8.0, 25.0), open_sky=True, seed=2), range(3), column=True),
        _sequence(Room(seed=3), range(2)),
    )
    to_folder(raw, {f"{LONG}.hdf5": hdf5(long[0])})
    written_tar(raw / "test.tar", {f"{TEST}.hdf5": hdf5(test[0])})
    to_folder(raw / "other", {f"{SHORT.replace('/', '_hdf5/')}.hdf5": hdf5(short[0])})
    return [TrueScene(TEST, "test", test[1]), TrueScene(LONG, "train", long[1]), TrueScene(SHORT, "train", short[1])]


def _sequence(room: Room, numbers: object, column: bool = False) -> tuple[dict[str, object], tuple[TrueFrame, ...]]:
    """The arrays of a file, its images [n, 1] PNGs or [n] JPEGs, and the truth."""
    arrays, frames = {}, []
    for k in numbers:
        intrinsics, pose = pinhole((40.0 + k) * SCALE, WIDTH / 2, HEIGHT / 2), room.pose(k)
        view = room.see(pose, intrinsics, HEIGHT, WIDTH)
        depth = np.where(view.sky, np.nan if k % 2 else np.inf, view.depth).astype(np.float32)
        if k == 3:
            depth[2, 2:4] = np.nan, np.inf
        image = np.frombuffer(png(view.image) if column else jpeg(view.image, 95), np.uint8)
        cam_to_world = turned(pose, Z_UP)
        if column:  # far from the world's origin, as published poses are
            cam_to_world[:3, 3] += (8.58, 493.4, 176.5)
        arrays |= {
            f"image_{k}": image[:, None] if column else image,
            f"depth_{k}": depth,
            f"K_{k}": intrinsics,
            f"pose_{k}": cam_to_world,
        }
        known = np.where(np.isfinite(depth), depth, 0)
        frames.append(TrueFrame(f"{k:06d}", view.image, intrinsics, cam_to_world, known))
    return arrays, tuple(frames)


FILE = Target(f"{LONG}.hdf5", LONG, scenes=(LONG,))


def _of(kind: str, key: str, change: object, reason: str, blamed: str = "") -> Damage:
    """Another array of a frame of the long sequence; the frame is lost."""
    target = Target(FILE.file, LONG, (f"{int(key.rpartition('_')[2]):06d}",), blamed=blamed)
    return target.damage(kind, spoil.hdf5_at(key, change), reason)


def _gone(array: np.ndarray) -> None:
    return None


def _with(place: tuple[int, int], value: float) -> object:
    def change(matrix: np.ndarray) -> np.ndarray:
        matrix[place] = value
        return matrix

    return change


def _copy(raw: Path) -> None:
    (raw / "train_hdf5").mkdir()
    shutil.copy(raw / FILE.file, raw / "train_hdf5")


MINIATURE = Miniature(
    name="gta_sfm",
    write=write,
    metres_per_raw_unit=None,
    picture_tolerance=3.0,  # JPEG, colors at half the resolution
    damages=(
        FILE.damage("sequence truncated", spoil.truncate, "unreadable HDF5 file"),
        _of("no image", "image_4", _gone, "holds no 'image_4'"),
        _of("image truncated", "image_4", lambda data: data[: len(data) // 2], "unreadable picture"),
        _of("no depth", "depth_2", _gone, "holds no 'depth_2'"),
        _of("depth of integers", "depth_2", lambda depth: np.ones(depth.shape, np.int16), "int16"),
        _of("depth of another size", "depth_2", lambda depth: depth[::2], "depth is 64x24", blamed=f"{LONG}/000002"),
        _of("no pose", "pose_11", _gone, "holds no 'pose_11'"),
        _of("pose nan", "pose_11", _with((0, 3), np.nan), "pose holds nan"),
        _of("pose without rotation", "pose_11", lambda pose: 0 * pose, "pose is no rotation"),
        _of("no intrinsics", "K_6", _gone, "holds no 'K_6'"),
        found_twice(LONG, f"train_hdf5/{LONG.partition('/')[2]}.hdf5", _copy, used=f"/{LONG}.hdf5"),
        *rare(
            unreadable_archive("test.tar", scenes=(TEST,)),
            FILE.damage("sequence empty", spoil.empty, "empty file"),
            FILE.damage("sequence garbage", spoil.garbage, "unreadable HDF5 file"),
            FILE.damage("sequence of other arrays", spoil.hdf5_of(np.ones(3), "image"), "no arrays image_<n>"),
            _of("image of words", "image_4", lambda data: data.view(np.int8), "int8"),
            _of("pose -inf", "pose_0", _with((1, 3), -np.inf), "pose holds -inf"),
            _of("pose mirrored", "pose_11", lambda pose: pose * (-1, 1, 1, 1), "determinant -1"),
            _of("intrinsics nan", "K_6", _with((0, 0), np.nan), "intrinsics are .*nan", blamed=f"{LONG}/000006"),
            _of("intrinsics in a row", "K_6", lambda k: k[0], r"float64\[3\], expected floats \[3, 3\]"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
