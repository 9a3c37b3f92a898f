"""UnrealStereo4K beyond the suite: a mirrored world, depth from two cameras."""

import numpy as np
import pytest
from miniatures import spoil
from miniatures.zoo.unreal4k import CAMERA_3, IN_FOLDERS, SWAP, write
from readers import reader_of

from zipmap_pl.preprocess.raw import RawFault


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scene_of(reader, name):
    return next(scene for scene in reader.scenes() if scene.name == name)


def stored_pose(file):
    return np.vstack((np.loadtxt(file, skiprows=1).reshape(3, 4), (0, 0, 0, 1)))


def test_the_mirrored_world_becomes_a_right_handed_one_and_motion_stays(raw):
    """Motion between frames cannot tell: it is the same in both worlds, so only the determinant shows the mistake."""
    reader = reader_of("unreal4k", raw)
    scene = scene_of(reader, f"{IN_FOLDERS}/1")
    stored = [stored_pose(raw / IN_FOLDERS / f"Extrinsics1/{frame}.txt") for frame in ("00000", "00005")]
    read = [np.linalg.inv(reader.camera(scene, frame).cam_to_world) for frame in ("00000", "00005")]
    assert [round(np.linalg.det(pose[:3, :3])) for pose in stored + read] == [-1, -1, 1, 1]
    np.testing.assert_allclose(read[1] @ np.linalg.inv(read[0]), stored[1] @ np.linalg.inv(stored[0]), atol=1e-8)


def test_a_pose_that_is_not_mirrored_is_left_as_it_is(raw):
    proper = stored_pose(raw / CAMERA_3) @ SWAP
    text = " ".join(f"{value:.12g}" for value in proper[:3].ravel())
    spoil.line(1, text)(raw / CAMERA_3)
    reader = reader_of("unreal4k", raw)
    found = reader.camera(scene_of(reader, f"{IN_FOLDERS}/1"), "00003").cam_to_world
    np.testing.assert_allclose(found, np.linalg.inv(proper), atol=1e-9)


def test_eyes_that_were_swapped_are_a_fault(raw):
    left, right = (raw / IN_FOLDERS / f"Extrinsics{eye}" for eye in (0, 1))
    for old, new in ((left, raw / "kept"), (right, left), (raw / "kept", right)):
        old.rename(new)
    reader = reader_of("unreal4k", raw)
    with pytest.raises(RawFault, match=r"the right eye is -0\.1 m to the right"):
        reader.frame(scene_of(reader, f"{IN_FOLDERS}/0"), "00000")
