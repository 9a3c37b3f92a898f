"""Virtual KITTI 2 beyond the suite: which way the poses go, rows in any order, one camera alone."""

import shutil

import numpy as np
import pytest
from miniatures.zoo.vkitti2 import EXTRINSIC, IN_ROOTS, IN_TARS, ROOTS, write
from readers import reader_of

from zipmap_pl.errors import UserError


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def test_poses_from_camera_to_world_are_refused_before_anything_is_read(raw):
    """An annotation tool reads the published tables this way round; what is turned around shows in the stereo pair."""
    header, *rows = (raw / EXTRINSIC).read_text().splitlines()
    inverted = []
    for row in rows:
        frame, camera, *values = row.split()
        matrix = np.linalg.inv(np.array(values, float).reshape(4, 4))
        inverted.append(" ".join([frame, camera, *map(str, matrix.ravel())]))
    (raw / EXTRINSIC).write_text("\n".join([header, *inverted]))
    with pytest.raises(UserError, match=r"extrinsic.txt: from Camera_0 to Camera_1 .* expected -0.532725, 0, 0"):
        reader_of("vkitti2", raw).scenes()


def test_a_frame_s_row_is_found_by_its_number_and_camera(raw):
    reader = reader_of("vkitti2", raw)
    scenes = [scene for scene in reader.scenes() if scene.name.startswith(IN_ROOTS)]
    before = [reader.camera(scene, "00003").cam_to_world for scene in scenes]
    header, *rows = (raw / EXTRINSIC).read_text().splitlines()
    (raw / EXTRINSIC).write_text("\n".join([header, *reversed(rows[:-1])]))
    shutil.copytree(raw, raw / "again")
    reader = reader_of("vkitti2", raw / "again")
    np.testing.assert_array_equal([reader.camera(scene, "00003").cam_to_world for scene in scenes], before)


def test_a_camera_that_was_not_unpacked_is_no_scene(raw):
    for part in ("rgb", "depth"):
        shutil.rmtree(raw / ROOTS[part] / IN_ROOTS / "frames" / part / "Camera_1")
    names = [scene.name for scene in reader_of("vkitti2", raw).scenes()]
    assert f"{IN_ROOTS}/Camera_0" in names and f"{IN_ROOTS}/Camera_1" not in names
    assert f"{IN_TARS}/Camera_1" in names
