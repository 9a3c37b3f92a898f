"""Photos reach the model at one size, and pixels find the way back."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered_videos import cut, spoil_middle, written_video

from zipmap_pl.errors import UserError
from zipmap_pl.images.crop import center_crop, kept_share
from zipmap_pl.images.photo import DecodedPhoto
from zipmap_pl.inference.sources.model_images import choose_images, choose_shape, fit_photo
from zipmap_pl.inference.sources.model_images import load_images as load_chosen

LOAD = {"width": 56, "patch": 14, "aspect": (0.33, 1.0), "max_views": None, "every": 1}


def load_images(source, width, patch, aspect, max_views, every):
    return load_chosen(choose_images(source, max_views, every), width, patch, aspect)


def write(path: Path, height: int, width: int, seed: int = 0) -> Path:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


SIZES = st.lists(st.tuples(st.integers(20, 4000), st.integers(20, 4000)), min_size=1, max_size=5)


@given(SIZES)
def test_the_shape_keeps_most_of_the_photo_of_which_least_is_kept(sizes: list[tuple[int, int]]) -> None:
    """Of all shapes in patches inside what was trained."""
    shape = choose_shape(sizes, 518, 14, (0.33, 1.0))
    assert shape[1] == 518
    possible = [(rows, 518) for rows in range(168, 519, 14)]
    assert shape in possible
    areas = {(size, tried): center_crop(size, tried).box for size in sizes for tried in possible}
    shares = {
        key: (right - left) * (bottom - top) / np.prod(key[0]) for key, (left, top, right, bottom) in areas.items()
    }
    least = [min(shares[size, tried] for size in sizes) for tried in possible]
    assert least[possible.index(shape)] == pytest.approx(max(least))


@pytest.mark.parametrize(
    ("sizes", "shape", "shares"),
    [
        ([(3024, 4032)] * 3, (392, 518), [0.99]),
        ([(3024, 4032), (4032, 3024)], (518, 518), [0.75, 0.75]),
        ([(3024, 4032), (4032, 3024), (1920, 1080)], (518, 518), [0.75, 0.75, 0.5625]),
        ([(1080, 1920), (3024, 4032)], (336, 518), [0.867, 0.865]),
        ([(1000, 9000)], (168, 518), [0.34]),
    ],
)
def test_shapes_of_usual_photos(sizes: list[tuple[int, int]], shape: tuple[int, int], shares: list[float]) -> None:
    assert choose_shape(sizes, 518, 14, (0.33, 1.0)) == shape
    for size, share in zip(sizes, shares, strict=False):
        assert kept_share(size, shape) == pytest.approx(share, abs=0.006)


def test_photos_of_which_much_is_cut_off_are_named_and_others_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, size in (("a.png", (60, 80)), ("b.png", (80, 60)), ("c.png", (160, 90))):
        write(tmp_path / name, *size)
    load_images(tmp_path, **LOAD)
    assert "the model sees 56 x 56 pixels; less than 75 % is kept of 1 of 3 photos: c.png (56%)" in caplog.text
    caplog.clear()
    (tmp_path / "c.png").unlink()
    load_images(tmp_path, **LOAD)
    assert not caplog.text


@given(st.integers(30, 300), st.integers(30, 300))
def test_a_point_of_the_model_picture_is_where_the_source_says(height: int, width: int) -> None:
    """A horizontal and a vertical ramp keep their values through crop and scale."""
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.rint((np.arange(width) + 0.5) * 200 / width)
    ramp[..., 1] = np.rint((np.arange(height)[:, None] + 0.5) * 200 / height)
    picture = fit_photo("p", DecodedPhoto(ramp), (28, 42))
    sx, sy, x0, y0 = picture.source_from_model
    x, y = (np.arange(42) + 0.5) * sx + x0, (np.arange(28) + 0.5) * sy + y0
    inside = np.s_[4:-4, 4:-4]
    assert np.abs(picture.image[..., 0] - x * 200 / width)[inside].max() < 6
    assert np.abs(picture.image[..., 1] - y[:, None] * 200 / height)[inside].max() < 6
    assert sx == sy


def test_a_picture_of_the_right_size_is_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (56, 56, 3), np.uint8)
    picture = fit_photo("p", DecodedPhoto(image), (56, 56))
    assert np.array_equal(picture.image, image)
    assert picture.source_from_model == (1.0, 1.0, 0.0, 0.0)


def test_a_folder_is_read_in_order_and_thinned(tmp_path: Path) -> None:
    for i in range(7):
        write(tmp_path / f"{6 - i:02d}.png", 40, 60, i)
    (tmp_path / "notes.txt").write_text("not a photo")
    assert [p.name for p in load_images(tmp_path, **LOAD)] == [f"{i:02d}.png" for i in range(7)]
    assert [p.name for p in load_images(tmp_path, **LOAD | {"max_views": 3})] == ["00.png", "03.png", "06.png"]
    assert [p.name for p in load_images(tmp_path, **LOAD | {"every": 3})] == ["00.png", "03.png", "06.png"]


def test_numbers_in_names_count_by_their_value(tmp_path: Path) -> None:
    names = ["7.png", "img2.png", "img10.png", "img10b.png", "shot 1 of 12.png", "shot 2 of 9.png"]
    for name in reversed(names):
        write(tmp_path / name, 40, 60)
    assert [p.name for p in load_images(tmp_path, **LOAD)] == names


def test_pictures_of_different_sizes_come_to_one(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 40, 60)
    write(tmp_path / "b.jpg", 90, 60)
    pictures = load_images(tmp_path, **LOAD)
    assert {p.image.shape for p in pictures} == {(56, 56, 3)}
    assert [p.source_size for p in pictures] == [(40, 60), (90, 60)]


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.HEIC").touch()
    (tmp_path / "b.gif").touch()
    with pytest.raises(UserError, match="2 pictures like a.HEIC that cannot be read; convert them to JPEG or PNG"):
        load_images(tmp_path, **LOAD)
    write(tmp_path / "c.png", 40, 60)
    assert [p.name for p in load_images(tmp_path, **LOAD)] == ["c.png"]
    assert "left out 2 pictures like a.HEIC" in caplog.text


def test_a_video_is_read_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for i in range(9):
        writer.write(np.full((48, 64, 3), 25 * i, np.uint8))
    writer.release()
    pictures = load_images(path, **LOAD | {"every": 4})
    assert [p.name for p in pictures] == ["frame-000000", "frame-000004", "frame-000008"]
    assert [round(float(p.image.mean()) / 25) for p in pictures] == [0, 4, 8]


@pytest.mark.parametrize("harm", [spoil_middle, lambda path: cut(path, 2 / 3)])
def test_frames_that_a_video_lacks_are_logged_in_one_line(tmp_path: Path, caplog, harm) -> None:
    path = written_video(tmp_path / "film.avi", 30)
    load_images(path, **LOAD)
    assert not caplog.records
    harm(path)
    images = load_images(path, **LOAD)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"{path}: {len(images)} of its 30 frames can be decoded; it is cut off or damaged"
    )


def test_a_text_that_names_other_files_is_no_video(tmp_path: Path) -> None:
    written_video(tmp_path / "secret.avi", 3)
    (tmp_path / "film.mp4").write_text("ffconcat version 1.0\nfile secret.avi\n")
    with pytest.raises(UserError, match="begins with b'ffconcat"):
        load_images(tmp_path / "film.mp4", **LOAD)


def test_bad_input_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_images(tmp_path / "nothing", **LOAD)
    with pytest.raises(UserError, match="found no photos"):
        load_images(tmp_path, **LOAD)
    (tmp_path / "film.mp4").write_bytes(b"not a film")
    with pytest.raises(UserError, match="no frame that can be decoded"):
        load_images(tmp_path / "film.mp4", **LOAD)
    cv2.VideoWriter(str(tmp_path / "nothing.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)).release()
    with pytest.raises(UserError, match="no frame that can be decoded"):
        load_images(tmp_path / "nothing.avi", **LOAD)
    with pytest.raises(UserError, match="a single photo"):
        load_images(write(tmp_path / "a.png", 40, 60), **LOAD)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    with pytest.raises(UserError, match="b.png: not a picture"):
        load_images(tmp_path, **LOAD)


@pytest.mark.timeout(20)
def test_what_is_no_file_among_the_photos_is_named_and_not_read(tmp_path):
    write(tmp_path / "a.png", 40, 60)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for target, words in (
        ("pipe", "is no file"),
        ("/dev/zero", "is no file"),
        ("folder", "is no file"),
        ("gone", "a link to"),
    ):
        (tmp_path / "b.jpg").symlink_to(target)
        with pytest.raises(UserError, match=f"b.jpg: not a picture that can be decoded .{words}"):
            load_images(tmp_path, **LOAD)
        (tmp_path / "b.jpg").unlink()
