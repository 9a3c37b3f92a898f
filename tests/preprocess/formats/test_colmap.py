"""COLMAP's models and dense workspaces, written here from COLMAP's description of its files."""

import json
import struct

import cv2
import numpy as np
import pytest
from miniatures.rooms import Room, pinhole, turned
from miniatures.zoo.dl3dv import APPLIED, BENT
from scipy.spatial.transform import Rotation

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.formats.colmap import read_depth_map, read_model
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.zoo.dl3dv.reader import DL3DV

HEIGHT, WIDTH, FRAMES = 54, 96, 7
K = pinhole(80.0, 47.1, 27.4)
ROOM = Room(seed=5)
VIEWS = [ROOM.see(ROOM.pose(place), K, HEIGHT, WIDTH) for place in range(FRAMES)]


def pose_words(place):
    """qw qx qy qz tx ty tz, world to camera, in a room as COLMAP would have turned it: by nothing."""
    world_to_cam = np.linalg.inv(ROOM.pose(place))
    x, y, z, w = Rotation.from_matrix(world_to_cam[:3, :3]).as_quat()
    return [w, x, y, z, *world_to_cam[:3, 3]]


def write_bin(sparse):
    (sparse / "cameras.bin").write_bytes(
        struct.pack("<QiiQQ4d", 1, 7, 1, WIDTH, HEIGHT, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    )
    data = struct.pack("<Q", FRAMES)
    for place in reversed(range(FRAMES)):
        data += struct.pack("<i7di", place + 1, *pose_words(place), 7) + f"frame_{place + 1:05d}.png".encode() + b"\0"
        data += struct.pack("<Q", place) + b"".join(struct.pack("<ddq", 1.0, 2.0, -1) for _ in range(place))
    (sparse / "images.bin").write_bytes(data)


def write_txt(sparse):
    numbers = f"{K[0, 0]!r} {K[1, 1]!r} {K[0, 2]!r} {K[1, 2]!r}".replace("np.float64(", "").replace(")", "")
    (sparse / "cameras.txt").write_text(f"# a\n# b\n# c\n7 PINHOLE {WIDTH} {HEIGHT} {numbers}\n")
    lines = ["# a", "# b", "# c", "# d"]
    for place in range(FRAMES):
        words = " ".join(f"{word:.17g}" for word in pose_words(place))
        lines += [f"{place + 1} {words} 7 frame_{place + 1:05d}.png", "1.0 2.0 -1" if place else ""]
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")


def write_workspace(folder, write_sparse, smaller=1):
    for name in ("images", "sparse", "stereo/depth_maps"):
        (folder / name).mkdir(parents=True)
    write_sparse(folder / "sparse")
    for place, view in enumerate(VIEWS):
        name = f"frame_{place + 1:05d}.png"
        cv2.imwrite(str(folder / "images" / name), view.image[..., ::-1])
        size = HEIGHT // smaller, WIDTH // smaller
        k = np.diag((1 / smaller, 1 / smaller, 1.0)) @ K
        depth = ROOM.see(ROOM.pose(place), k, *size).depth.astype("<f4")
        depth[0, :3] = (0.0, -1.0, np.nan)
        header = f"{size[1]}&{size[0]}&1&".encode()
        (folder / f"stereo/depth_maps/{name}.geometric.bin").write_bytes(header + depth.tobytes())
        (folder / f"stereo/depth_maps/{name}.photometric.bin").write_bytes(header + depth.tobytes()[::-1])


@pytest.mark.parametrize("write_sparse", [write_bin, write_txt])
def test_a_workspace_is_read_and_agrees_with_the_official_download(tmp_path, write_sparse):
    """The official poses are COLMAP's in a turned world: poses of the two, each seen from its first one, are the same."""
    write_workspace(tmp_path / "dense_colmap" / BENT, write_sparse)
    official = tmp_path / "official" / BENT
    (official / "images").mkdir(parents=True)
    entries = []
    for place, view in enumerate(VIEWS):
        opengl = turned(ROOM.pose(place), APPLIED) @ np.diag((1.0, -1.0, -1.0, 1.0))
        entries.append({"file_path": f"images/frame_{place + 1:05d}.png", "transform_matrix": opengl.tolist()})
        cv2.imwrite(str(official / f"images/frame_{place + 1:05d}.png"), view.image[..., ::-1])
    lens = {"w": WIDTH, "h": HEIGHT, "fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "frames": entries}
    (official / "transforms.json").write_text(json.dumps(lens))
    relative = []
    for raw in (tmp_path / "dense_colmap", tmp_path / "official"):
        reader = DL3DV(raw)
        (scene,) = reader.scenes()
        assert scene.frames == tuple(f"frame_{place + 1:05d}" for place in range(FRAMES))
        frames = [reader.frame(scene, frame) for frame in scene.frames]
        first = np.linalg.inv(frames[0].camera.cam_to_world)
        relative.append([first @ frame.camera.cam_to_world for frame in frames])
        for frame, view in zip(frames, VIEWS, strict=True):
            np.testing.assert_array_equal(frame.image, view.image)
            np.testing.assert_allclose(frame.camera.intrinsics, K, rtol=1e-12)
            if raw.name == "dense_colmap":
                np.testing.assert_array_equal(frame.depth[1:], view.depth.astype(np.float32)[1:])
    np.testing.assert_allclose(*relative, atol=1e-9)
    (both,) = DL3DV(tmp_path).scenes()
    assert [left.reason for left in both.left_out] == [f"found twice; {tmp_path / 'dense_colmap' / BENT} is used"]


def test_shards_of_a_workspace_whose_depth_is_smaller(tmp_path):
    write_workspace(tmp_path / "raw" / BENT / "dense", write_bin, smaller=2)
    (tmp_path / "raw" / BENT / "dense/stereo/depth_maps/frame_00003.png.geometric.bin").unlink()
    report = preprocess(DL3DV(tmp_path / "raw"), tmp_path / "out", EngineSettings(max_fault_share=1.0), workers=1)
    assert report.complete and report.disagreeing == ()
    assert [(fault.frame, fault.reason) for fault in report.faults] == [("frame_00003", "missing")]
    (scene,) = DL3DV(tmp_path / "raw").scenes()
    frame = DL3DV(tmp_path / "raw").frame(scene, "frame_00001")
    assert frame.image.shape == (HEIGHT // 2, WIDTH // 2, 3)
    np.testing.assert_allclose(frame.camera.intrinsics, np.diag((0.5, 0.5, 1.0)) @ K)


def cut(data):
    return data[:-5]


DAMAGES = {
    "cut off": ("images.bin", cut, "unreadable COLMAP model"),
    "empty": ("images.bin", lambda data: b"", "empty file"),
    "garbage": ("images.bin", lambda data: bytes(range(1, 250)), "unreadable COLMAP model"),
    "lying count": ("images.bin", lambda data: struct.pack("<Q", 2**60) + data[8:], "unreadable COLMAP model"),
    "lying keypoints": ("images.bin", lambda data: data[:-32] + struct.pack("<Q", 2**50), "unreadable COLMAP model"),
    "a name that leads out": (
        "images.bin",
        lambda data: data.replace(b"frame_00004.png", b"../../../../xpng"[:15]),
        "leads out",
    ),
    "a name of no file": (
        "images.bin",
        lambda data: data.replace(b"frame_00004", b"frame\n00004"),
        "expected the name",
    ),
    "a camera that is not there": ("cameras.bin", lambda data: data.replace(b"\7", b"\6", 1), "is of camera 7, which"),
    "cameras cut off": ("cameras.bin", cut, "cameras.bin: unreadable COLMAP model"),
    "a fisheye": ("cameras.bin", lambda d: d[:12] + struct.pack("<i", 5) + d[16:], "camera model 5, expected one of"),
    "a huge picture": (
        "cameras.bin",
        lambda d: d[:16] + struct.pack("<Q", 10**9) + d[24:],
        "camera PINHOLE of 1000000",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_models_are_told(tmp_path, kind):
    name, harm, reason = DAMAGES[kind]
    write_workspace(tmp_path / BENT, write_bin)
    file = tmp_path / BENT / "sparse" / name
    file.write_bytes(harm(file.read_bytes()))
    reader = DL3DV(tmp_path)
    with pytest.raises(RawFault, match=reason):
        assert read_model(tmp_path / BENT / "sparse")
        (scene,) = reader.scenes()
        for frame in scene.frames:
            reader.frame(scene, frame)


@pytest.mark.parametrize(
    "data", [b"", b"4&3&1&", b"4&3&1&" + bytes(47), b"4&3&2&" + bytes(96), b"4&-3&1&" + bytes(48), b"x&y&z", bytes(99)]
)
def test_damaged_depth_maps_are_told(tmp_path, data):
    (tmp_path / "map.bin").write_bytes(b"4&3&1&" + np.arange(12, dtype="<f4").tobytes())
    np.testing.assert_array_equal(read_depth_map(tmp_path / "map.bin"), np.arange(12).reshape(3, 4))
    (tmp_path / "map.bin").write_bytes(data)
    with pytest.raises(RawFault, match="unreadable depth map|empty file"):
        read_depth_map(tmp_path / "map.bin")


def test_a_real_model_puts_its_points_on_its_pixels(shared_data):
    """Every point of the sparse model, through pose and bent lens, lies where its keypoint is: to half a pixel, mostly."""
    sparse = shared_data / "lund_door_colmap/sparse"
    if not sparse.is_dir():
        pytest.skip(f"{sparse} is not there")
    model = read_model(sparse)
    lines = [line.split() for line in (sparse / "points3D.txt").read_text().splitlines() if not line.startswith("#")]
    points = {words[0]: np.array(words[1:4], float) for words in lines}
    images = [line for line in (sparse / "images.txt").read_text().splitlines() if not line.startswith("#")]
    errors = []
    for head, keypoints in zip(images[::2], images[1::2], strict=True):
        camera = model[head.split(maxsplit=9)[-1].strip()].camera
        triples = np.array(keypoints.split()).reshape(-1, 3)
        triples = triples[[triple[2] in points for triple in triples]]
        world_to_cam = cameras.invert_rigid(camera.cam_to_world[:3])
        seen = cameras.transform_points(world_to_cam, np.array([points[triple[2]] for triple in triples]))
        bent, _ = cv2.projectPoints(seen, np.zeros(3), np.zeros(3), camera.intrinsics, np.array(camera.distortion))
        errors.append(np.linalg.norm(bent[:, 0] - triples[:, :2].astype(float), axis=1))
    errors = np.concatenate(errors)
    assert len(model) == 12 and len(errors) > 1000
    assert np.median(errors) < 0.5 and (errors < 2).mean() > 0.95
