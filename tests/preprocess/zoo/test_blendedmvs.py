"""BlendedMVS beyond the suite: rows from the bottom, given overlaps, images without a surface, downloads in parts."""

import h5py
import numpy as np
import pytest
from miniatures.zoo.blendedmvs import EMPTY, PLAIN, ZIPPED, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.raw import RawFault


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scene_of(reader, name):
    return next(scene for scene in reader.scenes() if scene.name == name)


def give_overlaps(raw, indices, values, names=("00000000", "00000001", "00000002")):
    with h5py.File(raw / "new_overlap.h5", "w") as file:
        group = file.create_group(EMPTY)
        group["basenames"] = np.array(names, "S8")
        group["indices"], group["values"] = np.array(indices, np.int32), np.array(values, np.float32)
        group.attrs["shape"] = (len(names), len(names))


def test_masked_images_and_the_file_of_pairs_are_no_frames(raw):
    assert scene_of(reader_of("blendedmvs", raw), EMPTY).frames == ("00000000", "00000001", "00000002", "00000003")


def test_the_lowest_row_of_the_file_is_the_lowest_of_the_image(raw):
    reader = reader_of("blendedmvs", raw)
    depth = reader.frame(scene_of(reader, PLAIN), "00000000").depth
    assert not depth[0, :12].any()
    assert depth[-1].all()


def test_an_image_without_a_surface_is_kept_for_its_camera(raw):
    reader = reader_of("blendedmvs", raw)
    assert not reader.frame(scene_of(reader, EMPTY), "00000003").depth.any()


def test_only_the_official_list_is_for_validation(raw):
    scenes = reader_of("blendedmvs", raw).scenes()
    assert {scene.name: scene.split for scene in scenes} == {EMPTY: "train", PLAIN: "train", ZIPPED: "val"}


def test_overlaps_are_those_of_the_file_beside_the_scenes(raw):
    assert reader_of("blendedmvs", raw).settings()["overlaps"] == "computed"
    give_overlaps(raw, [(0, 0, 1, 2), (1, 2, 1, 0)], (0.75, 1.25, 1.0, 0.5))
    reader = reader_of("blendedmvs", raw)
    assert reader.settings()["overlaps"] == "given"
    overlaps = [reader.frame(scene_of(reader, EMPTY), f"{k:08d}").overlaps for k in range(3)]
    assert overlaps == [(("00000001", 0.75), ("00000002", 1.0)), (), (("00000000", 0.5),)]
    assert reader.frame(scene_of(reader, PLAIN), "00000000").overlaps == ()  # the file does not know this scene


@pytest.mark.parametrize("indices", [[(0, 3), (1, 0)], [(0, -1), (1, 0)], [(0,), (1,)]])
def test_overlaps_with_images_that_are_not_there_are_told(raw, indices):
    give_overlaps(raw, indices, (0.5, 0.5))
    reader = reader_of("blendedmvs", raw)
    with pytest.raises(RawFault, match=r"new_overlap.h5: 0{23}1: 2 values for \d pairs of 3 images do not fit"):
        reader.frame(scene_of(reader, EMPTY), "00000000")


def test_downloads_that_are_not_joined_are_told(tmp_path):
    (tmp_path / "BlendedMVS.z01").write_bytes(b"part")
    with pytest.raises(UserError, match=r"BlendedMVS.z01 is a part of a zip: join the parts"):
        reader_of("blendedmvs", tmp_path).scenes()
