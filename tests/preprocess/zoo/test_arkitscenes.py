"""ARKitScenes beyond the suite: upright images, times, interpolated poses, which images are read."""

import numpy as np
import pytest
from miniatures.files import npz
from miniatures.zoo.arkitscenes import DOWN, LEFT, LONG, RIGHT, SHORT, TIMES, UP, write
from readers import reader_of

from zipmap_pl.errors import UserError


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scene_of(reader, name):
    return next(scene for scene in reader.scenes() if scene.name == name)


@pytest.mark.parametrize("name", [UP, LEFT, RIGHT, DOWN])
def test_images_are_upright_however_the_tablet_was_held(raw, name):
    reader = reader_of("arkitscenes", raw, "--every", "1")
    scene = scene_of(reader, name)
    frame = reader.frame(scene, scene.frames[0])
    assert frame.image.shape[:2] == ((SHORT, LONG) if name in (UP, DOWN) else (LONG, SHORT))
    assert frame.camera.cam_to_world[2, 1] < -0.9  # the image's lower side looks down
    np.testing.assert_allclose(reader.camera(scene, scene.frames[0]).cam_to_world, frame.camera.cam_to_world)


def test_frames_are_in_the_order_of_time_not_of_names(raw):
    frames = scene_of(reader_of("arkitscenes", raw, "--every", "1"), UP).frames
    assert frames[:4] == ("999.500", "999.700", "999.900", "1000.100")


def test_one_of_nine_images_is_read_by_default(raw):
    assert scene_of(reader_of("arkitscenes", raw), UP).frames == (TIMES[0], TIMES[9])
    with pytest.raises(UserError, match="--every 0: expected 1 or more"):
        reader_of("arkitscenes", raw, "--every", "0")


def test_the_list_of_pairs_selects_the_images(raw, tmp_path_factory):
    pairs = tmp_path_factory.mktemp("pairs")
    (pairs / UP).mkdir(parents=True)
    selection = np.array([f"{UP[-8:]}_{TIMES[k]}.png" for k in (7, 2)])
    (pairs / UP / "selected_pairs.npz").write_bytes(npz(selection=selection, pairs=np.zeros((1, 3))))
    reader = reader_of("arkitscenes", raw, "--pairs", pairs)
    assert reader.settings()["pairs"] == "selected"
    scenes = {scene.name: scene for scene in reader.scenes()}
    assert scenes[UP].frames == (TIMES[2], TIMES[7])
    assert [left.reason for left in scenes[LEFT].left_out] == ["missing"]


def test_poses_between_two_of_the_trajectory_are_interpolated_where_the_camera_is(raw):
    file = raw / UP / "lowres_wide.traj"
    file.write_text("999.5 0 0 0 0 0 0\n999.7 0 0 0.2 -1 0 0\n")
    (raw / UP / f"vga_wide_intrinsics/{UP[-8:]}_999.600.pincam").write_text("80 60 65 65 40 30")
    reader = reader_of("arkitscenes", raw, "--every", "1")
    camera = reader._camera(scene_of(reader, UP), "999.600")[1]
    angle = np.arctan2(camera.cam_to_world[1, 0], camera.cam_to_world[0, 0])
    assert angle == pytest.approx(-0.1)
    np.testing.assert_allclose(camera.cam_to_world[:3, 3], np.array((np.cos(0.2), -np.sin(0.2), 0)) / 2, atol=1e-9)
