"""Raw videos: frame numbers are right, or the video is a fault."""

import pytest
from numbered_videos import cut, number_in, spoil_middle, written_video

from zipmap_pl.preprocess.formats.video import Frames, table_of
from zipmap_pl.preprocess.raw import RawFault


def test_frames_are_read_by_number(tmp_path):
    path = written_video(tmp_path / "rgb.mkv", 40)
    frames = Frames(path, table_of(path))
    assert frames.count == 40
    assert [number_in(frames.read(number)) for number in (5, 39, 0)] == [5, 39, 0]
    for number in (-1, 40):
        with pytest.raises(RawFault, match=f"has 40 frames, expected a frame {number}"):
            frames.read(number)


def test_a_lost_frame_is_a_fault_because_the_others_would_have_wrong_numbers(tmp_path):
    path = written_video(tmp_path / "rgb.avi", 40)
    spoil_middle(path)
    with pytest.raises(RawFault, match=r"rgb\.avi: 3\d frames can be decoded, expected 40"):
        Frames(path, table_of(path))


def test_the_count_that_the_dataset_states_counts_more_than_the_file(tmp_path):
    path = written_video(tmp_path / "rgb.mkv", 40)
    assert Frames(path, table_of(path), 40).count == 40
    with pytest.raises(RawFault, match="40 frames can be decoded, expected 41"):
        Frames(path, table_of(path), 41)


def test_what_is_no_video_is_a_fault(tmp_path):
    (tmp_path / "a.mkv").write_bytes(b"text")
    (tmp_path / "b.mkv").touch()
    cut(written_video(tmp_path / "c.mp4", 20), 0.5)
    for name, reason in (
        ("a.mkv", "no MP4"),
        ("b.mkv", "no MP4"),
        ("c.mp4", "cut off"),
        ("d", "missing"),
        ("", "folder"),
    ):
        with pytest.raises(RawFault, match=reason):
            table_of(tmp_path / name)
