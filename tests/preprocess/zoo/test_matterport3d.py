"""Matterport3D beyond the suite: cy from the bottom, given overlaps by name, official lists."""

import numpy as np
import pytest
from miniatures.zoo.matterport3d import ALONE, CY, FOLDER, FRAMES, HEIGHT, UNZIPPED, ZIPPED, write
from readers import reader_of

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras


@pytest.fixture
def raw(tmp_path):
    write(tmp_path)
    return tmp_path


def scene_of(reader, name):
    return next(scene for scene in reader.scenes() if scene.name == name)


def test_cy_counts_from_the_bottom_and_only_so_points_of_two_images_coincide(raw):
    reader = reader_of("matterport3d", raw)
    one, other = (reader.frame(scene_of(reader, UNZIPPED), name) for name in (FRAMES[0], FRAMES[11]))
    assert one.camera.intrinsics[1, 2] == pytest.approx(HEIGHT - CY)

    def error(shift):
        """Of the other image's depth, where points of the first land, on average."""
        k = one.camera.intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)] + (0, 0, 0, shift)
        points = cameras.pixel_points(one.depth, k)[one.depth > 0]
        there = cameras.compose(cameras.invert_rigid(other.camera.cam_to_world), one.camera.cam_to_world[:3])
        moved = cameras.transform_points(there, points)
        column, row = (moved[:, i] / moved[:, 2] * k[i] + k[i + 2] for i in (0, 1))
        inside = (moved[:, 2] > 0) & (column >= 0) & (column < other.depth.shape[1]) & (row >= 0) & (row < HEIGHT)
        found = other.depth[row[inside].astype(int), column[inside].astype(int)]
        return np.median(np.abs(moved[inside, 2] - found)[found > 0])

    assert error(0) < 0.6 * error(2 * CY - HEIGHT)


def test_overlaps_are_those_of_the_dataset_both_ways_without_the_image_itself(raw):
    reader = reader_of("matterport3d", raw)
    overlaps = [dict(reader.frame(scene_of(reader, UNZIPPED), name).overlaps) for name in FRAMES[:2]]
    assert overlaps[0] == {FRAMES[d]: pytest.approx(1 - d / 10) for d in range(1, 6)}
    assert overlaps[1] == {FRAMES[k]: pytest.approx(1 - abs(k - 1) / 10) for k in (0, 2, 3, 4, 5, 6)}


def test_overlaps_are_found_by_name_where_an_image_is_missing(raw):
    (raw / FOLDER / f"undistorted_color_images/{FRAMES[1]}.jpg").unlink()
    reader = reader_of("matterport3d", raw)
    found = dict(reader.frame(scene_of(reader, UNZIPPED), FRAMES[2]).overlaps)
    assert [found[FRAMES[k]] for k in (1, 3, 7)] == pytest.approx([0.9, 0.9, 0.5])


def test_without_a_file_of_overlaps_they_are_computed(raw):
    reader = reader_of("matterport3d", raw)
    assert reader.frame(scene_of(reader, ALONE), FRAMES[0]).overlaps is None


def test_official_lists_decide_the_splits_and_all_are_for_training_without_them(raw, tmp_path_factory, caplog):
    assert {scene.split for scene in reader_of("matterport3d", raw).scenes()} == {"train"}
    assert "without --splits, the official houses for testing are among those for training" in caplog.text
    lists = tmp_path_factory.mktemp("lists")
    (lists / "scenes_val.txt").write_text(f"{ZIPPED}\n")
    (lists / "scenes_test.txt").write_text(f"{ALONE}\n")
    reader = reader_of("matterport3d", raw, "--splits", lists)
    assert {scene.name: scene.split for scene in reader.scenes()} == {UNZIPPED: "train", ZIPPED: "val", ALONE: "test"}
    (lists / "scenes_test.txt").write_text("scene0000_00\n")
    with pytest.raises(UserError, match="line 1 is 'scene0000_00', expected a scene like 17DRP5sb8fy"):
        reader_of("matterport3d", raw, "--splits", lists).scenes()
