"""Kubric beyond the suite: axes that depth decides, the pickle that nobody opens."""

import numpy as np
import pytest
from miniatures.zoo.kubric import DOUBLE, PLAIN, other, write
from readers import reader_of

from zipmap_pl.errors import UserError


def rotate_about_x(extrinsics):
    """From OpenCV's axes to OpenGL's."""
    extrinsics[:, 1:] *= -1


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    (tmp_path / "0000.tar.gz").unlink()
    return tmp_path


def test_cameras_are_read_as_opencvs_and_never_flipped(raw):
    reader = reader_of("kubric", raw)
    pose = reader.camera(reader.scenes()[0], "005").cam_to_world
    extrinsics = np.load(raw / DOUBLE / DOUBLE / f"{DOUBLE}_with_rank.npz")["extrinsics"]
    np.testing.assert_allclose(np.linalg.inv(pose)[:3], extrinsics[5], atol=1e-12)


def test_cameras_that_fit_opengls_axes_better_are_refused_and_read_with_the_option(raw):
    right = reader_of("kubric", raw)
    pose = right.camera(right.scenes()[0], "005").cam_to_world
    file = raw / DOUBLE / DOUBLE / f"{DOUBLE}_with_rank.npz"
    other(rotate_about_x)(file)
    clear_caches()
    with pytest.raises(
        UserError, match=rf"{DOUBLE}: \d+% of the depth fits with --axes opengl, \d+% with opencv; give --axes opengl"
    ):
        reader_of("kubric", raw).scenes()
    reader = reader_of("kubric", raw, "--axes", "opengl")
    np.testing.assert_allclose(reader.camera(reader.scenes()[0], "005").cam_to_world, pose, atol=1e-12)


def test_damage_in_the_first_scene_does_not_decide_the_axes(raw):
    for file in (raw / DOUBLE / DOUBLE / "depths").iterdir():
        file.write_bytes(b"garbage")
    assert [scene.name for scene in reader_of("kubric", raw).scenes()] == [DOUBLE, PLAIN]


def test_the_check_tries_the_other_axes(raw):
    assert list(reader_of("kubric", raw).alternatives()) == ["--axes opengl"]


def clear_caches():
    """As a new process would have it."""
    from zipmap_pl.preprocess.zoo.kubric import _cameras

    _cameras.cache_clear()
