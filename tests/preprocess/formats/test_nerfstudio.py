"""transforms.json: one camera of all frames, or each frame's own; what is not known is refused by its key."""

import json

import numpy as np
import pytest

from zipmap_pl.preprocess.formats.nerfstudio import read_transforms
from zipmap_pl.preprocess.raw import RawFault

SHARED = {"w": 960, "h": 540, "fl_x": 600.0, "fl_y": 610.0, "cx": 480.0, "cy": 270.0, "k1": 0.01}
POSE = np.eye(4).tolist()


def written(folder, top, *frames):
    entries = [
        {"file_path": f"images/frame_{k:05d}.png", "transform_matrix": POSE} | own for k, own in enumerate(frames)
    ]
    (folder / "transforms.json").write_text(json.dumps(top | {"frames": entries}))
    return folder / "transforms.json"


def test_all_frames_share_the_camera_at_the_top(tmp_path):
    transforms = read_transforms(written(tmp_path, SHARED, {}, {}))
    assert transforms.camera("frame_00000") is transforms.camera("frame_00001")
    assert transforms.camera("frame_00001").focal == (600, 610)


def test_a_frame_has_its_own_camera(tmp_path):
    own = [{"fl_x": 600.0 + 100 * k, "fl_y": 600.0 + 100 * k} for k in range(4)]
    own[3] |= {"k1": -0.2, "w": 480, "h": 270, "cx": 240.0, "cy": 135.0}
    transforms = read_transforms(written(tmp_path, SHARED, *own))
    cameras = [transforms.camera(f"frame_{k:05d}") for k in range(4)]
    assert [camera.focal[0] for camera in cameras] == [600, 700, 800, 900]
    assert [camera.distortion[0] for camera in cameras] == [0.01, 0.01, 0.01, -0.2]
    np.testing.assert_allclose(cameras[3].intrinsics(960, 540)[:2, :], [[1800, 0, 480], [0, 1800, 270]])


def test_nothing_at_the_top_is_needed_where_every_frame_has_a_camera(tmp_path):
    transforms = read_transforms(written(tmp_path, {}, SHARED, SHARED | {"fl_x": 700.0}))
    assert transforms.camera("frame_00001").focal == (700, 610)


@pytest.mark.parametrize(
    ("top", "own", "reason"),
    [
        (SHARED, {"camera_model": "OPENCV_FISHEYE"}, "frame 1: camera_model is 'OPENCV_FISHEYE', expected OPENCV"),
        (SHARED, {"k4": 0.3}, "frame 1: k4 is 0.3, expected a camera by"),
        (SHARED, {"camera_angle_x": 0.9}, "frame 1: camera_angle_x is 0.9"),
        (SHARED, {"is_fisheye": True}, "frame 1: is_fisheye is True"),
        (SHARED, {"fl_x": None}, "frame 1: fl_x is None, expected a number"),
        (SHARED, {"w": 0}, "frame 1: w and h are 0 and 540"),
        (SHARED | {"k4": 0.1}, {}, "k4 is 0.1"),
        ({"camera_angle_x": 0.9}, {}, "camera_angle_x is 0.9"),
        ({}, {}, "w is None, expected a number"),
    ],
)
def test_a_camera_that_is_not_known_is_a_fault_that_names_its_key(tmp_path, top, own, reason):
    with pytest.raises(RawFault, match=reason):
        read_transforms(written(tmp_path, top, {}, own))


def test_an_angle_beside_a_focal_length_and_zeros_say_nothing_new(tmp_path):
    top = SHARED | {"camera_angle_x": 0.9, "k4": 0.0, "is_fisheye": False}
    assert read_transforms(written(tmp_path, top, {})).camera("frame_00000").focal == (600, 610)
