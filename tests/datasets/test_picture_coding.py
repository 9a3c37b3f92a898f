import cv2
import numpy as np
import pytest

from zipmap_pl.datasets.picture_coding import read_picture

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)


def test_an_exif_rotation_is_not_applied():
    data = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    orientation_6 = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + (len(orientation_6) + 2).to_bytes(2, "big") + orientation_6 + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (10, 6, 3)
    np.testing.assert_array_equal(read_picture(turned), read_picture(data))


def test_colours_are_in_the_order_red_green_blue():
    data = cv2.imencode(".png", PICTURE)[1].tobytes()  # OpenCV takes them as blue, green, red
    np.testing.assert_array_equal(read_picture(data), PICTURE[..., ::-1])


@pytest.mark.parametrize("data", [b"", b"no picture", cv2.imencode(".png", PICTURE)[1].tobytes()[:100]])
def test_bytes_that_are_no_whole_picture(data):
    with pytest.raises(ValueError, match="unreadable picture"):
        read_picture(data)
