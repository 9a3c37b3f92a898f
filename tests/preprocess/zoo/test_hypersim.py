"""What is Hypersim's own: tone mapping, splits, what is excluded, what must lie beside the scenes."""

import numpy as np
import pytest
from miniatures.zoo.hypersim import CSV, EXCLUDED, SCENES, SPLITS, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.tone_mapping import tone_mapped
from zipmap_pl.preprocess.zoo.hypersim.reader import Hypersim


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def reader(raw, *options):
    return reader_of("hypersim", raw, *options)


def test_the_ninetieth_percentile_of_brightness_becomes_four_fifths():
    colour = np.linspace(0, 40, 1001)[:, None, None] * np.ones((1, 2, 3))
    picture = tone_mapped(colour.astype(np.float16), np.ones((1001, 2), bool))
    assert picture[900].tolist() == [[204] * 3] * 2 or picture[900].tolist() == [[203] * 3] * 2
    assert picture[0].max() == 0 and picture[-1].max() < 255


def test_brightness_is_measured_on_surfaces_only():
    rng = np.random.default_rng(0)
    colour = rng.random((30, 40, 3)).astype(np.float16)
    surface = np.ones((30, 40), bool)
    surface[:10] = False
    brighter = colour.copy()
    brighter[:10] = 1000
    np.testing.assert_array_equal(tone_mapped(colour, surface)[10:], tone_mapped(brighter, surface)[10:])
    assert (tone_mapped(brighter, surface)[:10] == 255).all()


def test_pictures_without_a_surface_without_light_and_with_overflow():
    colour = np.full((4, 5, 3), 0.25, np.float16)
    nothing, everything = np.zeros((4, 5), bool), np.ones((4, 5), bool)
    assert set(tone_mapped(colour, nothing).ravel()) == {int(255 * 0.25 ** (1 / 2.2))}
    assert not tone_mapped(colour * np.float16(1e-4), everything).any()
    colour[0] = (np.inf, np.nan, -np.inf)
    picture = tone_mapped(colour, everything)
    assert picture[0].tolist() == [[255, 0, 0]] * 5
    assert (picture[1:] == picture[1, 0]).all()


def test_without_official_splits_all_is_for_training(raw):
    (raw / SPLITS).unlink()
    scenes = reader(raw).scenes()
    assert {scene.split for scene in scenes} == {"train"}
    assert [scene.name for scene in scenes] == sorted(scene.name for scene in SCENES if scene is not EXCLUDED)
    assert reader(raw).settings() != reader(raw, "--official-splits").settings()


def test_scenes_and_trajectories_are_excluded_by_name(raw):
    names = [scene.name for scene in reader(raw, "--exclude", "ai_028_008,ai_001_001/cam_02").scenes()]
    assert names == ["ai_001_001/cam_00", "ai_004_007/cam_00", "ai_033_003/cam_01"]
    assert len(Hypersim(raw).exclude) == 18 + 27
    with pytest.raises(UserError, match="no scenes ai_<nnn>_<nnn>"):
        reader(raw, "--exclude", ",".join(scene.scene for scene in SCENES)).scenes()


@pytest.mark.parametrize("name", [CSV, SPLITS])
def test_a_list_that_is_missing_is_told_with_where_to_find_it(raw, name):
    (raw / name).unlink()
    with pytest.raises(UserError, match=f"{name}: missing; copy it from github.com/apple/ml-hypersim"):
        reader(raw, "--official-splits").scenes()


def test_splits_that_are_no_splits(raw):
    (raw / SPLITS).write_text("scene_name,camera_name\nai_001_001,cam_00\n")
    with pytest.raises(UserError, match="no column split_partition_name; expected the file as published"):
        reader(raw, "--official-splits").scenes()


def test_a_scene_of_previews_only(raw):
    for folder in ("scene_cam_00_final_hdf5", "scene_cam_00_geometry_hdf5"):
        (raw / f"ai_028_008/ai_028_008/images/{folder}").rename(raw / folder)
    (scene,) = (scene for scene in reader(raw).scenes() if scene.name.startswith("ai_028_008"))
    assert scene.frames == ()
    assert [left.reason for left in scene.left_out] == ["no images/scene_cam_<nn>_final_hdf5 in it"]
