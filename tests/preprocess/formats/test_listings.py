"""Texts on which whole scenes depend: asked what they are before they are read."""

import os

import pytest

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.trajectories import read_intrinsics, read_timed_trajectory, read_trajectory
from zipmap_pl.preprocess.formats.tum import timed_files
from zipmap_pl.preprocess.zoo.dl3dv.reader import hashes_in

READERS = (timed_files, read_timed_trajectory, read_trajectory, read_intrinsics, lambda file: hashes_in(str(file)))


@pytest.mark.parametrize("read", READERS)
def test_a_listing_that_is_no_file_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, told in {
        "pipe": "is no file",
        "zeros": "is no file",
        "folder": "is a folder",
        "gone": "missing",
        "loop": "leads to itself",
    }.items():
        with pytest.raises(UserError, match=told) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
