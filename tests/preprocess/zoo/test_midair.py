"""Mid-Air beyond the suite: where the camera is, values as documented, names of images, splits."""

import numpy as np
import pytest
from miniatures.files import hdf5, jpeg, png, to_folder
from miniatures.zoo.midair import PLAIN, TESTED, write
from readers import reader_of

CLIMATE, FLIGHT = "Kite_training/sunny", "trajectory_3000"
EAST = (
    np.sqrt(0.5),
    0.0,
    0.0,
    np.sqrt(0.5),
)  # w x y z of a vehicle that flies east: 90 degrees about the axis that points down
SIDE = 8


@pytest.fixture
def raw(tmp_path):
    """One flight of two images; its vehicle turns from north to east between them, after the third of four rows."""
    attitude = np.array([(1.0, 0.0, 0.0, 0.0)] * 3 + [EAST] * 5)
    records = {
        f"{FLIGHT}/groundtruth/position": np.array([(row, 0.0, -row) for row in range(8)], np.float32),
        f"{FLIGHT}/groundtruth/attitude": attitude.astype(np.float32),
        f"{FLIGHT}/camera_data/color_left": [f"color_left\\{FLIGHT}\\{k:08d}.JPEG" for k in range(2)],
    }
    bits = np.full((SIDE, SIDE), 18688, np.uint16)
    bits[4, 4], bits[4, 5] = 23504, 0x7C00
    files = {f"color_left/{FLIGHT}/{k:08d}.JPEG": jpeg(np.zeros((SIDE, SIDE, 3), np.uint8), 90) for k in range(2)}
    files |= {f"depth/{FLIGHT}/{k:08d}.PNG": png(bits) for k in range(2)}
    to_folder(tmp_path / CLIMATE, {"sensor_records.hdf5": hdf5(records), **files})
    return tmp_path


def poses(raw, *options):
    reader = reader_of("midair", raw, *options)
    (scene,) = reader.scenes()
    return [reader.camera(scene, frame).cam_to_world for frame in scene.frames]


def test_the_camera_is_half_a_meter_in_front_of_the_vehicle_wherever_it_turns(raw):
    north, east = poses(raw)
    assert np.allclose(north[:3, 3], (0.5, 0, 0))
    assert np.allclose(east[:3, 3], (4, 0.5, -4))
    assert np.allclose(east[:3, :3] @ (0, 0, 1), (0, 1, 0), atol=1e-6)  # looks east


def test_the_place_of_the_camera_in_the_vehicle_is_an_option_that_is_recorded(raw):
    assert np.allclose([pose[:3, 3] for pose in poses(raw, "--lever-arm", "none")], [(0, 0, 0), (4, 0, -4)])
    right = poses(raw, "--lever-arm", "0.5,1,0")
    assert np.allclose(right[1][:3, 3], (4 - 1, 0.5, -4))
    settings = [reader_of("midair", raw, *options).settings() for options in ((), ("--lever-arm", "none"))]
    assert settings == [{"lever_arm": [0.5, 0.0, 0.0]}, {"lever_arm": [0.0, 0.0, 0.0]}]
    with pytest.raises(SystemExit):
        reader_of("midair", raw, "--lever-arm", "0.5,nan,0")


@pytest.mark.parametrize(("chosen", "other"), [("0.5,0,0", "none"), ("none", "0.5,0.0,0.0")])
def test_a_check_compares_the_two_places_of_the_camera(raw, chosen, other):
    assert reader_of("midair", raw, "--lever-arm", chosen).alternatives() == {
        f"--lever-arm {other}": reader_of("midair", raw, "--lever-arm", other)
    }


def test_bits_are_half_floats_and_distances_become_planar_depth(raw):
    reader = reader_of("midair", raw)
    (scene,) = reader.scenes()
    assert scene.frames == ("00000000", "00000001")  # names as recorded, whatever their length and slashes
    frame = reader.frame(scene, scene.frames[0])
    assert frame.depth[0, 0] == pytest.approx(10 * 4 / np.sqrt(3.5**2 + 3.5**2 + 4**2))
    assert frame.depth[4, 4] == pytest.approx(250 * 4 / np.sqrt(0.5**2 + 0.5**2 + 4**2))
    assert np.argwhere(frame.sky).tolist() == [[4, 5]]


def test_flights_of_test_sets_are_never_trained_on(tmp_path):
    write(tmp_path)
    splits = {scene.name: scene.split for scene in reader_of("midair", tmp_path).scenes()}
    assert (splits[TESTED], splits[PLAIN]) == ("test", "train")
