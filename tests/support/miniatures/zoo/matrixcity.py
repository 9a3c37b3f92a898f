"""MatrixCity in small: a block with its depth in a tar, one in a tar in parts, a test block with half floats, and what is not read."""

import json
import shutil
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Damage, Target, exr_damages, found_twice, matrix_damages, picture_damages, rare
from miniatures.files import exr, png, to_folder
from miniatures.rooms import SCALE, Room, pinhole, turned
from miniatures.tars import written_tar

AERIAL, STREET = (64 * SCALE, 36 * SCALE), (40 * SCALE, 40 * SCALE)  # width, height
BLOCK, AREA, TEST = (
    "small_city/aerial/train/block_1",
    "big_city/street/train/left_area",
    "small_city/street/test/small_city_road_down_test",
)
NOT_LISTED = 3  # this image of BLOCK is there, but not in transforms.json
# Rows: east, north, up (the city) in a room's right, down, forward.
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
OPENGL = np.diag((1.0, -1.0, -1.0))  # columns: OpenCV's axes in those of the camera: right, up, back


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    block, area, test = (
        _block(Room((60.0, 40.0, 80.0), seed=1), range(8), AERIAL),
        _block(Room((12.0, 5.0, 15.0), open_sky=True, seed=2), range(8, 12), STREET, name="{}"),
        _block(Room((3.0, 2.0, 4.0), open_sky=True, seed=3), range(2), STREET, half=True),
    )
    everything = _transforms(block[2], AERIAL[0])
    block[2].pop(NOT_LISTED)
    to_folder(raw / BLOCK, {"transforms_origin.json": everything, "transforms.json": _transforms(block[2], AERIAL[0])})
    to_folder(raw / BLOCK / "block_1", block[0])
    (depths := raw / "small_city_depth_float32/aerial/train").mkdir(parents=True)
    written_tar(depths / "block_1_depth.tar", {f"block_1_depth/{name}": data for name, data in block[1].items()})
    to_folder(raw / AREA, {"transforms.json": _transforms(area[2], STREET[0])})
    written_tar(raw / f"{AREA}.tar00", {f"left_area/{name}": data for name, data in area[0].items()})
    to_folder(raw / "big_city_depth_float32/street/train/left_area_depth/left_area_depth", area[1])
    to_folder(raw / "big_city_depth/street/train/left_area_depth", dict.fromkeys(area[1], b"not read"))
    files = {**test[0], "transforms.json": _transforms(test[2], STREET[0])}
    to_folder(raw / TEST, files)
    to_folder(raw / "small_city_depth/street/test/small_city_road_down_test_depth", test[1])
    to_folder(raw / "small_city/street/train_dense/small_city_road_down_dense", files)
    to_folder(raw / "small_city/aerial/pose/block_1", {"transforms_train.json": everything})
    return [
        TrueScene(TEST, "test", test[3]),
        TrueScene(AREA, "train", area[3]),
        TrueScene(BLOCK, "train", tuple(frame for k, frame in enumerate(block[3]) if k != NOT_LISTED)),
    ]


def _block(
    room: Room, numbers: range, size: tuple[int, int], name: str = "{:04d}", half: bool = False
) -> tuple[dict[str, bytes], dict[str, bytes], dict[int, np.ndarray], tuple[TrueFrame, ...]]:
    """Images and depths by the names of their files, rot_mat by number, the truth."""
    images, depths, matrices, frames = {}, {}, {}, []
    width, height = size
    intrinsics = pinhole(0.8 * width, width / 2, height / 2)
    for k in numbers:
        pose = room.pose(k)
        view = room.see(pose, intrinsics, height, width)
        depth = np.where(view.sky, 65504.0, view.depth * 100).astype(np.float16 if half else np.float32)
        depth[4, 5:7] = 65504.0, np.nan
        images[f"{name.format(k)}.png"] = png(view.image)
        depths[f"{name.format(k)}.exr"] = exr(B=depth, G=depth, R=depth)
        cam_to_world = turned(pose, Z_UP)
        matrices[k] = np.zeros((4, 4))
        matrices[k][:3] = np.column_stack((cam_to_world[:3, :3] @ OPENGL / 100, cam_to_world[:3, 3]))
        known = np.where((depth == 65504) | np.isnan(depth), 0, depth.astype(np.float64) / 100)
        frames.append(TrueFrame(f"{k:04d}", view.image, intrinsics, cam_to_world, known))
    return images, depths, matrices, tuple(frames)


def _transforms(matrices: dict[int, np.ndarray], width: int) -> bytes:
    frames = [{"frame_index": k, "rot_mat": matrix.tolist()} for k, matrix in reversed(matrices.items())]
    return json.dumps({"camera_angle_x": 2 * np.arctan(0.5 * width / (0.8 * width)), "frames": frames}).encode()


CAMERAS = Target(f"{BLOCK}/transforms.json", BLOCK, scenes=(BLOCK,))
POSE_5 = Target(CAMERAS.file, BLOCK, ("0005",))
IMAGE = Target(f"{BLOCK}/block_1/0004.png", BLOCK, ("0004",))
DEPTH = Target("small_city_depth/street/test/small_city_road_down_test_depth/0001.exr", TEST, ("0001",))
DEPTH_TAR = "small_city_depth_float32/aerial/train/block_1_depth.tar"
PARTS = Target(f"{AREA}.tar01", f"{AREA}.tar00", blamed=f"{AREA}.tar00")


def _matrix(change: object) -> spoil.Harm:
    """Another rot_mat of frame 5."""

    def put(values: dict) -> None:
        frame = next(frame for frame in values["frames"] if frame["frame_index"] == 5)
        frame["rot_mat"] = np.asarray(change(frame["rot_mat"])).tolist()

    return spoil.json_of(put)


def _with_block(kind: str, archive: str, harm: spoil.Harm, reason: str, lost: Expected) -> Damage:
    """A tar is damaged, and with it all of a block."""

    def spoil_it(raw: Path) -> list[Expected]:
        harm(raw / archive)
        name = archive.replace(".tar01", ".tar00")
        return [Expected(name, name, reason), lost]

    return Damage(kind, spoil_it)


def _no_depths(raw: Path) -> list[Expected]:
    (raw / DEPTH_TAR).unlink()
    return [Expected(BLOCK, "train/block_1_depth", "no depths", lost_scenes=(BLOCK,))]


LOST_BLOCK = Expected(BLOCK, "train/block_1_depth", "no depths", lost_scenes=(BLOCK,))
LOST_AREA = Expected(AREA, AREA, "no images", lost_scenes=(AREA,))
TWICE = f"twice/{BLOCK}"

MINIATURE = Miniature(
    name="matrixcity",
    write=write,
    already_lost=(Expected(TEST, "small_city_depth/street/test/small_city_road_down_test_depth", "half floats"),),
    damages=(
        *picture_damages(IMAGE),
        *exr_damages(DEPTH),
        *matrix_damages(POSE_5, _matrix),
        POSE_5.damage("pose not divided", _matrix(lambda pose: np.multiply(pose, 100)), "pose is a rotation times 100"),
        IMAGE.damage("picture of another size", spoil.other_size, "picture is 32x18", blamed=f"{BLOCK}/0004"),
        CAMERAS.damage("cameras truncated", spoil.truncate, "unreadable JSON"),
        CAMERAS.damage(
            "no angle", spoil.json_of(lambda values: values.pop("camera_angle_x")), "camera_angle_x is None"
        ),
        _with_block("depth tar truncated", DEPTH_TAR, spoil.truncate, "unreadable tar", LOST_BLOCK),
        _with_block("a part of a tar is missing", f"{AREA}.tar01", spoil.remove, "one is missing", LOST_AREA),
        found_twice(BLOCK, TWICE, lambda raw: shutil.copytree(raw / BLOCK / "block_1", raw / TWICE)),
        *rare(
            Damage("no depths", _no_depths),
            CAMERAS.damage("cameras missing", spoil.remove, "missing"),
            CAMERAS.damage("angle of zero", spoil.json_of(lambda v: v.update(camera_angle_x=0)), "camera_angle_x is 0"),
            CAMERAS.damage("no frames", spoil.json_of(lambda values: values.pop("frames")), "frame_index None"),
            CAMERAS.damage(
                "a frame twice",
                spoil.json_of(lambda v: v["frames"].append(v["frames"][0])),
                "the frame_index 7, .*once",
            ),
            POSE_5.damage(
                "pose of words", _matrix(lambda pose: [["a"] * 4] * 4), "rot_mat of a frame is no 4x4 matrix"
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
