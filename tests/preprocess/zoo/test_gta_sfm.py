"""GTA-SfM beyond the suite: what is trained on, where files may lie, and the order of frames."""

import pytest
from miniatures.zoo.gta_sfm import LONG, SHORT, TEST, write
from readers import reader_of

from zipmap_pl.errors import UserError


def test_test_sequences_are_never_trained_on_though_the_published_training_does(tmp_path):
    write(tmp_path)
    splits = {scene.name: scene.split for scene in reader_of("gta_sfm", tmp_path).scenes()}
    assert splits == {LONG: "train", SHORT: "train", TEST: "test"}


def test_the_folder_of_training_sequences_alone_is_read(tmp_path):
    write(tmp_path)
    assert [scene.name for scene in reader_of("gta_sfm", tmp_path / "other" / "train_hdf5").scenes()] == [SHORT]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no <train.test>/<sequence>.hdf5 in it"):
        reader_of("gta_sfm", tmp_path / "empty").scenes()


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    """Not of their text, in which image_10 comes before image_2."""
    write(tmp_path)
    (frames,) = [scene.frames for scene in reader_of("gta_sfm", tmp_path).scenes() if scene.name == LONG]
    assert frames == tuple(f"{k:06d}" for k in (*range(5), *range(6, 13)))
