"""OmniObject3D beyond the suite: background, order, units, images without alpha, the other set of views."""

import numpy as np
import pytest
from miniatures.files import rgba_png
from miniatures.zoo.omniobject3d import ANISE, FOLDER, OPAQUE, SIDE, TARRED, write
from readers import reader_of

from zipmap_pl.errors import UserError


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scene_of(reader, name):
    return next(scene for scene in reader.scenes() if scene.name == name)


def test_frames_are_in_the_order_of_their_numbers(raw):
    assert scene_of(reader_of("omniobject3d", raw), ANISE).frames == tuple(f"{k:03d}" for k in range(12))


def test_the_set_of_24_views_is_not_read(raw):
    scenes = reader_of("omniobject3d", raw).scenes()
    assert [scene.name for scene in scenes] == [ANISE, OPAQUE, TARRED]
    assert not any(scene.left_out for scene in scenes)  # not as a second ANISE either


def test_the_background_is_no_wall_at_65504(raw):
    reader = reader_of("omniobject3d", raw)
    frame = reader.frame(scene_of(reader, ANISE), "000")
    assert frame.depth[0, 0] == 0
    assert frame.depth.max() < 0.1  # meters: the scale is 0.05


def test_partly_transparent_pixels_are_blended_over_white(raw):
    colors, alpha = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE), 51, np.uint8)
    alpha[0, 0] = 0
    (raw / FOLDER / "images/r_1.png").write_bytes(rgba_png(colors, alpha))
    reader = reader_of("omniobject3d", raw)
    frame = reader.frame(scene_of(reader, ANISE), "001")
    assert frame.image[0, 0].tolist() == [255] * 3
    assert frame.image[0, 1].tolist() == [224] * 3  # a fifth of 100, four fifths of 255
    assert (frame.object[0, 0], frame.object[0, 1]) == (False, True)


def test_without_alpha_the_object_is_where_depth_is(raw):
    reader = reader_of("omniobject3d", raw)
    frame = reader.frame(scene_of(reader, OPAQUE), "000")
    assert 0.5 < frame.object.mean() < 0.9
    np.testing.assert_array_equal(frame.object, frame.depth > 0)


def test_depth_and_places_have_one_unit(raw):
    """The camera moves by as many meters as a wall straight ahead comes nearer."""
    reader = reader_of("omniobject3d", raw)
    scene = scene_of(reader, ANISE)
    first, last = (reader.frame(scene, name) for name in ("000", "011"))
    points = []
    for frame in (first, last):
        pose, middle = frame.camera.cam_to_world, SIDE // 2
        ray = np.linalg.inv(frame.camera.intrinsics) @ (middle + 0.5, middle + 0.5, 1.0)
        points.append(pose[:3, :3] @ ray * frame.depth[middle, middle] + pose[:3, 3])
    walls = np.array((0.8, 1.0, 0.7)) / 50  # half the room in meters, east, north, up
    assert [min(abs(np.abs(point) / walls - 1)) < 0.01 for point in points] == [True, True]


def test_a_folder_without_objects_is_told(tmp_path):
    with pytest.raises(UserError, match="no <object>/render, such as anise_001/render"):
        reader_of("omniobject3d", tmp_path).scenes()
