"""Depth, trajectory, transforms.json, npz and recordings of a result, read the way their readers read them."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import trimesh
from made_up_scenes import depth_of, exact_scene, in_first_camera, phone_cameras
from nerfstudio_rules import by_nerfstudios_rules

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.errors import UserError
from zipmap_pl.inference.export import find_exporters, write_scene
from zipmap_pl.inference.exporters._extras import library
from zipmap_pl.inference.photo_maps import photo_maps
from zipmap_pl.inference.points import PointChoice, choose_points

ALL = PointChoice(0.0, edge_angle=0.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return exact_scene()


def write(folder: Path, scene: Scene, name: str) -> dict[str, Path]:
    return write_scene(folder, scene, find_exporters([name]), ALL)


def read_16bit(path: Path) -> np.ndarray:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert values.dtype == np.uint16
    return values.astype(np.float64)


def test_16bit_depth_times_its_step_is_the_depth(scene: Scene, tmp_path: Path) -> None:
    bad = replace(scene, depth=scene.depth.copy())
    bad.depth[0, 0, :3] = (np.nan, np.inf, 1e9)  # one wild number does not cost the others their precision
    folder = write(tmp_path, bad, "depth")["depth (16 bit)"]
    step = json.loads((folder / "scale.json").read_text())["step"]
    read = np.stack([read_16bit(path) for path in sorted(folder.glob("*.png"))])
    assert (read[0, 0, :3] == 0).all()
    known = read > 0
    assert known.sum() == read.size - 3
    assert np.abs(read * step - bad.depth)[known].max() <= 0.51 * step
    assert step < 64 * np.median(scene.depth) / 65534


def test_exr_holds_depth_and_confidence_bit_for_bit(scene: Scene, tmp_path: Path) -> None:
    folder = write(tmp_path, scene, "exr")["depth (exr)"]
    for path, depth, confidence in zip(sorted(folder.iterdir()), scene.depth, scene.confidence, strict=True):
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            assert np.array_equal(channels["Z"].pixels, depth)
            assert np.array_equal(channels["confidence"].pixels, confidence)


def test_depth_at_the_size_of_the_photo_is_that_of_the_photos_own_pixels(scene: Scene) -> None:
    """The room's own depth at every pixel of the photo, except along the outline of the pillar."""
    for view, shown in enumerate(phone_cameras()):
        depth, confidence = photo_maps(scene, view)
        assert depth.shape == confidence.shape == shown.size
        assert (depth > 0).mean() == pytest.approx(scene.kept[view], abs=0.01)
        assert np.array_equal(depth > 0, confidence > 0)
        error = np.abs(depth / depth_of(shown.world_to_cam, shown.intrinsics, shown.size) - 1)[depth > 0]
        assert np.percentile(error, 90) < 0.002
        assert np.mean(error > 0.05) < 0.03


def test_depth_at_the_size_of_the_photo_never_mixes_foreground_and_background() -> None:
    scene = exact_scene(phone_cameras()[:1], (28, 28))
    scene.depth[:, :, :14], scene.depth[:, :, 14:] = 2.0, 3.0
    scene.depth[:, 0, 0] = np.nan
    depth, confidence = photo_maps(scene, 0)
    assert {round(float(value), 5) for value in np.unique(depth)} == {0, 2, 3}
    assert depth[0, 41] == confidence[0, 41] == 0  # the pixel without a number, and just inside the crop


def test_photo_depth_is_written_with_its_steps(scene: Scene, tmp_path: Path) -> None:
    folder = write(tmp_path, scene, "photo_depth")["photo depth"]
    steps = json.loads((folder / "scale.json").read_text())["step"]
    depth, confidence = photo_maps(scene, 1)
    for what, expected in (("depth", depth), ("confidence", confidence)):
        read = read_16bit(folder / f"{scene.stems[1]}.{what}.png")
        assert read.shape == (320, 240)
        assert np.abs(read * steps[what] - expected).max() <= 0.51 * steps[what]


def test_npz_holds_the_whole_scene_without_pickles(scene: Scene, tmp_path: Path) -> None:
    scene = replace(scene, maps={"normals": np.ones((4, 84, 84, 3), np.float32)})
    with np.load(write(tmp_path, scene, "npz")["scene (npz)"], allow_pickle=False) as file:
        assert file["names"].tolist() == scene.names
        assert np.array_equal(file["photo_intrinsics"], scene.source_intrinsics)
        for name in ("images", "world_to_cam", "intrinsics", "depth", "confidence", "local_points", "down", "kept"):
            assert np.array_equal(file[name], getattr(scene, name)), name
        assert np.array_equal(file["points"], choose_points(scene, ALL).points)
        assert np.array_equal(file["map_normals"], scene.maps["normals"])


def test_a_trajectory_is_camera_to_world_with_quaternions_xyzw(scene: Scene, tmp_path: Path) -> None:
    bad = replace(scene, world_to_cam=scene.world_to_cam.copy())
    bad.world_to_cam[1] = np.nan
    rows = np.loadtxt(write(tmp_path, bad, "tum")["trajectory"])
    assert rows[:, 0].tolist() == [0, 2, 3]
    for number, *place, x, y, z, w in rows:
        pose = np.linalg.inv(in_first_camera(phone_cameras())[int(number)])
        assert np.allclose(place, pose[:3, 3], atol=1e-5)
        axis = np.array([x, y, z])
        turned = [v + 2 * np.cross(axis, np.cross(axis, v) + w * v) for v in np.eye(3)]  # q v q^-1
        assert np.allclose(np.stack(turned, axis=1), pose[:3, :3], atol=1e-5)


def test_transforms_json_leads_to_the_photos_and_its_cameras_see_its_points(scene: Scene, tmp_path: Path) -> None:
    photos = tmp_path / "my photos"
    photos.mkdir()
    for shown in phone_cameras():
        (photos / shown.name).touch()
    (tmp_path / "out").mkdir()
    folder = write(tmp_path / "out", replace(scene, folder=photos), "nerfstudio")["nerfstudio"]
    points = np.asarray(trimesh.load(folder / "sparse_pc.ply").vertices).reshape(4, -1, 3)
    frames = by_nerfstudios_rules(folder / "transforms.json")
    assert len(frames) == 4
    for view, (photo, pose, k, size) in enumerate(frames):
        assert photo.is_file()
        assert size == phone_cameras()[view].size
        x, y, z = ((points[view] - pose[:3, 3]) @ pose[:3, :3]).T
        assert (z < 0).all()  # OpenGL looks along -z, y is up
        pixels = np.stack([k[0, 0] * x / -z + k[0, 2], k[1, 1] * -y / -z + k[1, 2]], 1)
        sx, sy, x0, y0 = scene.source_from_model[view]
        columns, rows = np.meshgrid(np.arange(84) + 0.5, np.arange(84) + 0.5)
        expected = np.stack([columns * sx + x0, rows * sy + y0], -1).reshape(-1, 2)
        assert np.abs(pixels - expected).max() < 0.05
    up = np.array([pose[2, 1] for _, pose, _, _ in frames])
    assert (up > 0.95).all()  # z of the world is up


def test_applied_transform_leads_from_the_world_of_cameras_json(scene: Scene, tmp_path: Path) -> None:
    folder = write(tmp_path, scene, "nerfstudio")["nerfstudio"]
    applied = np.array(json.loads((folder / "transforms.json").read_text())["applied_transform"])
    for (_, pose, _, _), world in zip(
        by_nerfstudios_rules(folder / "transforms.json"), scene.cam_to_world, strict=True
    ):
        assert np.allclose(applied @ world @ np.diag([1, -1, -1, 1]), pose[:3], atol=1e-9)


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(UserError, match=r'--export rrd: needs the Python module no_such_module.*"zipmap_pl\[rerun\]"'):
        library("no_such_module", "rerun", "rrd")


@pytest.mark.long
def test_a_recording_has_points_cameras_images_and_depth(scene: Scene, tmp_path: Path) -> None:
    chunk = pytest.importorskip("rerun.chunk")
    named = replace(scene, names=["a photo.jpg", "b/c.jpg", "d.jpg", "\u65e5\u672c.jpg"])
    path = write(tmp_path, named, "rrd")["rerun (rrd)"]
    read = {str(part.entity_path): part.to_record_batch() for part in chunk.RrdReader(path).stream()}
    (points,) = [part for name, part in read.items() if name.endswith("/points")]
    positions = np.array(points.column("Points3D:positions").to_pylist()[0])
    assert np.allclose(positions, choose_points(scene, ALL).points, atol=0)
    lenses = [name for name, part in read.items() if "Pinhole:image_from_camera" in part.schema.names]
    assert len(lenses) == 4
    for kind in ("EncodedImage:blob", "DepthImage:buffer", "Transform3D:translation"):
        assert len([name for name, part in read.items() if kind in part.schema.names]) == 4
