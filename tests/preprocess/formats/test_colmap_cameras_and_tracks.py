"""COLMAP's fisheyes, tracks and undistorted cameras. The numbers of undistortion are pycolmap 4.2.1's."""

import struct

import numpy as np
import pytest

from zipmap_pl.preprocess.formats.colmap import Image, read_model, read_tracks, undistorted_pinhole
from zipmap_pl.preprocess.raw import RawCamera, RawFault

FISHEYE = (310.0, 305.0, 322.7, 236.1, -0.02, 0.004, -0.003, 0.0005)
SEEN = {"b.jpg": (7, -1, 3, 7, 12), "a.jpg": (), "c.JPG": (3, -1)}


def write_bin(folder):
    folder.mkdir(exist_ok=True)
    (folder / "cameras.bin").write_bytes(struct.pack("<QiiQQ8d", 1, 4, 5, 640, 480, *FISHEYE))
    data = struct.pack("<Q", len(SEEN))
    for number, (name, points) in enumerate(SEEN.items()):
        data += struct.pack("<i7di", number, 1, 0, 0, 0, 1, 2, 3, 4) + name.encode() + b"\0"
        data += struct.pack("<Q", len(points)) + b"".join(struct.pack("<ddq", 1.5, 2.5, point) for point in points)
    (folder / "images.bin").write_bytes(data)


def write_txt(folder):
    folder.mkdir(exist_ok=True)
    (folder / "cameras.txt").write_text(f"# c\n4 OPENCV_FISHEYE 640 480 {' '.join(map(str, FISHEYE))}\n")
    lines = ["# i"]
    for number, (name, points) in enumerate(SEEN.items()):
        lines += [f"{number} 1 0 0 0 1 2 3 4 {name}", " ".join(f"1.5 2.5 {point}" for point in points)]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(params=[write_bin, write_txt], ids=["bin", "txt"])
def model(request, tmp_path):
    request.param(tmp_path)
    return tmp_path


def test_a_fisheye_is_read_where_it_is_asked_for(model):
    image = read_model(model, fisheye=True)["b.jpg"]
    assert image.fisheye == FISHEYE[4:] and image.camera.distortion == () and image.size == (480, 640)
    np.testing.assert_array_equal(image.camera.intrinsics, ((310, 0, 322.7), (0, 305, 236.1), (0, 0, 1)))
    np.testing.assert_array_equal(image.camera.cam_to_world[:3, 3], (-1, -2, -3))


def test_elsewhere_a_fisheye_is_a_fault(model):
    with pytest.raises(RawFault, match="camera model (5|OPENCV_FISHEYE), expected one of .* OPENCV$"):
        read_model(model)


def test_tracks_are_the_points_of_each_image_once_and_in_order(model):
    tracks = read_tracks(model)
    assert tracks.names == ("b.jpg", "a.jpg", "c.JPG")
    np.testing.assert_array_equal(tracks.starts, (0, 3, 3, 4))
    np.testing.assert_array_equal(tracks.points, (3, 7, 12, 3))


def test_a_model_of_no_images_has_no_tracks(tmp_path):
    (tmp_path / "images.bin").write_bytes(struct.pack("<Q", 0))
    tracks = read_tracks(tmp_path)
    assert tracks.names == () and tracks.starts.tolist() == [0] and tracks.points.size == 0


def test_a_text_that_ends_before_its_last_keypoints_is_read(tmp_path):
    write_txt(tmp_path)
    (tmp_path / "images.txt").write_text("1 1 0 0 0 1 2 3 4 last.jpg\n")
    assert read_tracks(tmp_path).names == ("last.jpg",)


@pytest.mark.parametrize("keypoints", ["1.5 2.5", "1.5 2.5 x", f"1.5 2.5 {10**30}"])
def test_keypoints_that_are_none_are_a_fault(tmp_path, keypoints):
    (tmp_path / "images.txt").write_text(f"1 1 0 0 0 1 2 3 4 a.jpg\n{keypoints}\n")
    with pytest.raises(RawFault, match=r"images\.txt: unreadable COLMAP model"):
        read_tracks(tmp_path)


@pytest.mark.parametrize("kept", [0, 7, 60, -1, -24])
def test_a_list_that_is_cut_off_is_a_fault(tmp_path, kept):
    write_bin(tmp_path)
    (tmp_path / "images.bin").write_bytes((tmp_path / "images.bin").read_bytes()[:kept])
    with pytest.raises(RawFault, match=r"images\.bin: (unreadable|empty)"):
        read_tracks(tmp_path)


def test_tracks_of_a_real_model_are_those_of_its_points(shared_data):
    """points3D.txt lists the same tracks from the points' side."""
    sparse = shared_data / "lund_door_colmap/sparse"
    if not sparse.is_dir():
        pytest.skip(f"{sparse} is not there")
    heads = [line for line in (sparse / "images.txt").read_text().splitlines() if not line.startswith("#")][::2]
    name_of = {line.split()[0]: line.split(maxsplit=9)[-1].strip() for line in heads}
    expected = {name: set() for name in name_of.values()}
    for line in (sparse / "points3D.txt").read_text().splitlines():
        words = line.split()
        if not line.startswith("#"):
            for image in words[8::2]:
                expected[name_of[image]].add(int(words[0]))
    tracks = read_tracks(sparse)
    parts = np.split(tracks.points, tracks.starts[1:-1])
    assert {name: set(part.tolist()) for name, part in zip(tracks.names, parts, strict=True)} == expected
    assert len(tracks.points) > 1000


# Undistorted cameras.


def image_of(width, height, fx, fy, cx, cy, *lens):
    distortion = tuple(lens) + (0.0,) * (4 - len(lens)) if lens else ()
    intrinsics = np.array(((fx, 0, cx), (0, fy, cy), (0, 0, 1)))
    return Image(RawCamera(intrinsics, np.eye(4), "cameras.txt", distortion), (height, width))


@pytest.mark.parametrize(
    ("image", "longest", "size", "numbers"),
    [
        (
            image_of(1600, 1200, 1500.0, 1500.0, 790.3, 610.9, -0.07),
            1200,
            (892, 1200),
            (1103.617412630288, 1103.0502885408077, 592.725, 454.10233333333326),
        ),
        (
            image_of(160, 120, 150.0, 150.0, 80.5, 59.0, 0.02),
            96,
            (72, 96),
            (91.71974522292993, 92.3076923076923, 48.3, 35.4),
        ),
        (
            image_of(900, 1400, 1300.0, 1300.0, 455.0, 690.0, 0.08, -0.01),
            None,
            (1359, 872),
            (1300.0, 1300.0, 440.84444444444443, 669.7928571428571),
        ),
        (
            image_of(640, 480, 400.0, 400.0, 330.0, 230.0, -0.05, 0.01),
            None,
            (486, 658),
            (400.0, 400.0, 339.28125, 232.875),
        ),
        (image_of(1000, 700, 800.0, 810.0, 500.0, 350.0), 640, (448, 640), (512.0, 518.4, 320.0, 224.0)),
        (image_of(1000, 700, 800.0, 810.0, 500.0, 350.0), None, (700, 1000), (800.0, 810.0, 500.0, 350.0)),
    ],
)
def test_the_undistorted_camera_is_colmaps(image, longest, size, numbers):
    intrinsics, found = undistorted_pinhole(image, longest)
    fx, fy, cx, cy = numbers
    assert found == size
    np.testing.assert_allclose(intrinsics, ((fx, 0, cx), (0, fy, cy), (0, 0, 1)), rtol=1e-13)


def test_a_lens_that_folds_back_inside_of_its_image_is_a_fault():
    with pytest.raises(RawFault, match=r"cameras\.txt: lens distortion .* border show no ray"):
        undistorted_pinhole(image_of(640, 480, 300.0, 300.0, 320.0, 240.0, -0.9))


@pytest.mark.parametrize("lens", [(0.1, 0.0, 0.001, 0.0), (0.1, 0.0, 0.0, -0.001)])
def test_tangential_distortion_is_refused(lens):
    with pytest.raises(ValueError, match="only radial distortion"):
        undistorted_pinhole(image_of(640, 480, 300.0, 300.0, 320.0, 240.0, *lens))
