"""Frames of videos by number, in any order; what is lost is counted; no other file is opened."""

import random

import numpy as np
import pytest
from numbered_videos import cut, number_in, spoil_middle, written_video

from zipmap_pl.images import video
from zipmap_pl.images.video import Frames, find_times


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.webm"])
def test_frames_are_read_by_number_in_any_order(tmp_path, name, monkeypatch):
    monkeypatch.setattr(video, "FAR", 5)
    path = written_video(tmp_path / name, 60)
    found = find_times(path)
    assert (len(found.times), found.stated, found.missing) == (60, 60, 0)
    frames = Frames(path, found.times)
    order = [0, 1, 2, 2, 40, 41, 7, 59, 0, *random.Random(0).sample(range(60), 15)]
    assert [number_in(frames.read(number)) for number in order] == order


def test_frames_in_rising_order_are_decoded_once(tmp_path, monkeypatch):
    path = written_video(tmp_path / "a.mp4", 60)
    frames = Frames(path, find_times(path).times)
    grabbed = []
    monkeypatch.setattr(video, "_grabbed", lambda opened, old=video._grabbed: grabbed.append(1) or old(opened))
    for number in range(0, 60, 7):
        frames.read(number)
    assert len(grabbed) == 57


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.webm"])
def test_a_video_that_is_cut_off_misses_frames(tmp_path, name):
    path = written_video(tmp_path / name, 60)
    cut(path, 2 / 3)
    found = find_times(path)
    assert 30 < len(found.times) < 50 and found.missing == 60 - len(found.times)


def test_what_follows_noise_in_the_middle_is_read_and_what_is_lost_is_counted(tmp_path):
    path = written_video(tmp_path / "a.avi", 60)
    spoil_middle(path)
    found = find_times(path)
    assert 1 <= found.missing <= 3
    frames = Frames(path, found.times)
    assert number_in(frames.read(len(found.times) - 1)) == 59
    assert number_in(frames.read(0)) == 0


@pytest.mark.parametrize(
    "start", [b"ffconcat version 1.0\nfile a.avi\n", b"#EXTM3U\n#EXTINF:1,\na.avi\n", b"not a film", b"", bytes(16)]
)
def test_a_list_of_other_files_is_no_video(tmp_path, start):
    """FFmpeg opens the files, or addresses, that such a text names, whatever its name."""
    written_video(tmp_path / "a.avi", 3)
    (tmp_path / "film.mp4").write_bytes(start)
    with pytest.raises(ValueError, match="which is no MP4"):
        find_times(tmp_path / "film.mp4")


def test_a_name_that_ffmpeg_would_read_as_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written_video(tmp_path / "a.avi", 3)
    (tmp_path / "concat:a.avi").write_bytes((tmp_path / "a.avi").read_bytes())
    (tmp_path / "a%03d.avi").write_bytes((tmp_path / "a.avi").read_bytes())
    for name in ("concat:a.avi", "a%03d.avi"):
        assert len(find_times(tmp_path.joinpath(name).relative_to(tmp_path)).times) == 3


def test_nothing_is_printed_of_a_damaged_video(tmp_path, capfd):
    path = written_video(tmp_path / "a.mp4", 20)
    cut(path, 0.5)
    with pytest.raises(ValueError, match="cut off or damaged"):
        find_times(path)
    assert capfd.readouterr() == ("", "")


def test_a_video_that_was_replaced_is_noticed(tmp_path):
    path = written_video(tmp_path / "a.avi", 20)
    times = find_times(path).times
    with pytest.raises(ValueError, match="frame 3 of 20"):
        Frames(path, times + 20).read(3)


def test_frames_with_too_many_pixels_are_refused(tmp_path, monkeypatch):
    path = written_video(tmp_path / "a.avi", 2)
    monkeypatch.setattr("zipmap_pl.images.limits.MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="112x48 pixels"):
        find_times(path)


def test_a_frame_is_rgb(tmp_path):
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    red = Frames(tmp_path / "a.avi", find_times(tmp_path / "a.avi").times).read(0)
    assert red[..., 0].min() > 200 and red[..., 1:].max() < 60
