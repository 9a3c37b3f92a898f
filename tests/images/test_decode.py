import cv2
import numpy as np
import pytest

from zipmap_pl.images.decode import is_jpeg, read_image

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)


def test_an_exif_rotation_is_not_applied():
    data = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    orientation_6 = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + (len(orientation_6) + 2).to_bytes(2, "big") + orientation_6 + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (10, 6, 3)
    np.testing.assert_array_equal(read_image(turned), read_image(data))


def test_colours_are_in_the_order_red_green_blue():
    data = cv2.imencode(".png", PICTURE)[1].tobytes()  # OpenCV takes them as blue, green, red
    np.testing.assert_array_equal(read_image(data), PICTURE[..., ::-1])


@pytest.mark.parametrize("data", [b"", b"no picture", cv2.imencode(".png", PICTURE)[1].tobytes()[:100]])
def test_bytes_that_are_no_whole_picture(data):
    with pytest.raises(ValueError, match="unreadable picture"):
        read_image(data)


def smooth_picture(height, width):
    y, x = np.mgrid[:height, :width] + 0.5
    waves = [np.sin(2 * np.pi * (x / 97 + y / 131 + phase)) for phase in (0, 0.3, 0.6)]
    return np.rint(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("size", [(160, 240), (157, 235)])  # the last rows and columns may be parts of a pixel
def test_a_reduced_pixel_is_the_mean_of_its_square(reduction, size):
    picture = smooth_picture(*size)
    data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 99))[1].tobytes()
    assert is_jpeg(data)
    reduced = read_image(data, reduction).astype(float)
    assert reduced.shape == (-(-size[0] // reduction), -(-size[1] // reduction), 3)
    height, width = size[0] // reduction, size[1] // reduction
    squares = picture[: height * reduction, : width * reduction].astype(float)
    means = squares.reshape(height, reduction, width, reduction, 3).mean(axis=(1, 3))
    assert np.abs(reduced[:height, :width] - means).max() < 6
    # Not the tenth of a pixel to any side: the picture's slope would show it.
    slope = np.gradient(means[..., 0], axis=1)
    error = reduced[:height, :width, 0] - means[..., 0]
    assert abs((error * slope).sum() / (slope**2).sum()) < 0.1 / reduction


def test_only_jpegs_are_reduced():
    assert not is_jpeg(cv2.imencode(".png", PICTURE)[1].tobytes())
    assert not is_jpeg(b"")
