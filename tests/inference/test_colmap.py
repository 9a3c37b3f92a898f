"""A COLMAP model of a result, read by COLMAP's own library."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from made_up_scenes import camera, depth_of, exact_scene, in_first_camera, phone_cameras, turn

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.export import find_exporters, write_scene
from zipmap_pl.inference.exporters import _tracks, colmap
from zipmap_pl.inference.points import PointChoice, choose_points
from zipmap_pl.inference.shared_camera import share_cameras

FEW = PointChoice(0.0, 600)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return exact_scene()


@pytest.fixture(scope="module")
def folder(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"), scene, find_exporters(["colmap"]), FEW)["colmap"]


@pytest.fixture(scope="module", params=["bin", "txt"])
def model(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> pycolmap.Reconstruction:
    alone = tmp_path_factory.mktemp(request.param)
    for path in folder.glob(f"*.{request.param}"):
        shutil.copy(path, alone)
    return pycolmap.Reconstruction(alone)


def test_the_folder_is_where_programs_look_for_it(folder: Path) -> None:
    assert folder.parts[-3:] == ("colmap", "sparse", "0")
    names = {f"{name}.{ending}" for name in ("cameras", "images", "points3D") for ending in ("bin", "txt")}
    assert {path.name for path in folder.iterdir()} == names


def test_cameras_are_those_of_the_photos_before_crop_and_scaling(model: pycolmap.Reconstruction) -> None:
    cameras = phone_cameras()
    assert model.num_images() == len(cameras)
    for number, (shown, world_to_cam) in enumerate(zip(cameras, in_first_camera(cameras), strict=True), 1):
        image = model.image(number)
        found = model.camera(image.camera_id)
        assert image.name == shown.name
        assert (found.height, found.width) == shown.size
        assert np.allclose(found.calibration_matrix(), shown.intrinsics, atol=0.01)
        assert np.allclose(image.cam_from_world().matrix(), world_to_cam[:3], atol=1e-5)


def test_points_reproject_onto_their_pixels_of_the_photos(model: pycolmap.Reconstruction) -> None:
    """By the cameras that took the photos: half a pixel at the most."""
    cameras = phone_cameras()
    taken = in_first_camera(cameras)
    assert model.num_points3D() == 600
    for number, shown in enumerate(cameras):
        for observed in model.image(number + 1).points2D:
            local = taken[number, :3] @ np.r_[model.point3D(observed.point3D_id).xyz, 1]
            pixel = shown.intrinsics @ local
            assert np.linalg.norm(pixel[:2] / pixel[2] - observed.xy) < 0.5
            assert (observed.xy >= 0).all()
            assert (observed.xy <= shown.size[::-1]).all()


def test_tracks_join_a_point_and_the_photos_that_see_it(model: pycolmap.Reconstruction) -> None:
    """A photo in a track shows the point itself, not something before it: by the room's own depth."""
    cameras = phone_cameras()
    depths = [depth_of(shown.world_to_cam, shown.intrinsics, shown.size) for shown in cameras]
    taken = in_first_camera(cameras)
    lengths = []
    for point in model.points3D.values():
        lengths.append(point.track.length())
        for element in point.track.elements:
            observed = model.image(element.image_id).points2D[element.point2D_idx]
            assert np.array_equal(model.point3D(observed.point3D_id).xyz, point.xyz)
            depth = (taken[element.image_id - 1] @ np.r_[point.xyz, 1])[2]
            column, row = np.maximum(observed.xy.astype(int) - 3, 0)
            near = depths[element.image_id - 1][row : row + 7, column : column + 7]
            assert near.min() < 1.03 * depth
            assert near.max() > 0.97 * depth
        assert len({element.image_id for element in point.track.elements}) == lengths[-1]
    assert np.mean(np.array(lengths) >= 2) > 0.7
    assert model.compute_mean_reprojection_error() < 0.01


def test_colors_are_those_of_the_photos(model: pycolmap.Reconstruction, scene: Scene) -> None:
    cloud = choose_points(scene, FEW)
    assert np.array_equal([model.point3D(i + 1).color for i in range(600)], cloud.colors)


def test_photos_share_a_camera_when_asked_to_and_points_stay_on_their_pixels(tmp_path: Path) -> None:
    focal, portrait = (148, 150, 171, 150), (120, 90)
    cameras = [camera(f"{i}.jpg", (0.2 * i, 0, -3), turn(0, 0), focal[i], (90, 120)) for i in range(3)]
    cameras.append(camera("3.jpg", (0, 0, -3), turn(0, 0), focal[3], portrait))
    scene = exact_scene(cameras, (28, 28))
    for number, (given, shared) in enumerate([(scene, False), (share_cameras(scene), True)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = pycolmap.Reconstruction(write_scene(folder, given, find_exporters(["colmap"]), FEW)["colmap"])
        numbers = [model.image(i + 1).camera_id for i in range(4)]
        assert numbers == ([1, 1, 1, 2] if shared else [1, 2, 3, 4])
        assert model.camera(1).focal_length_x == pytest.approx(150 if shared else 148, abs=0.01)
        assert model.compute_mean_reprojection_error() < 0.01


def test_a_view_without_a_camera_is_left_out(scene: Scene, tmp_path: Path) -> None:
    bad = replace(scene, world_to_cam=scene.world_to_cam.copy())
    bad.world_to_cam[1] = np.nan
    model = pycolmap.Reconstruction(write_scene(tmp_path, bad, find_exporters(["colmap"]), FEW)["colmap"])
    assert sorted(model.images) == [1, 3, 4]
    assert model.image(3).name == "IMG_0003.jpg"


def test_points_and_tracks_are_bounded(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colmap, "MAX_POINTS", 200)
    monkeypatch.setattr(_tracks, "LONGEST", 2)
    model = pycolmap.Reconstruction(write_scene(tmp_path, scene, find_exporters(["colmap"]), FEW)["colmap"])
    assert model.num_points3D() == 200
    assert {point.track.length() for point in model.points3D.values()} <= {1, 2}


def test_one_photo_has_points_that_only_it_sees(tmp_path: Path) -> None:
    scene = exact_scene(phone_cameras()[:1], (28, 28))
    model = pycolmap.Reconstruction(write_scene(tmp_path, scene, find_exporters(["colmap"]), FEW)["colmap"])
    assert {point.track.length() for point in model.points3D.values()} == {1}


def test_names_of_any_script_and_with_spaces_are_kept_and_the_limit_of_the_text_is_named(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["my photo 1.jpg", "\u65e5\u672c.png", "c.jpg", "d.jpg"]
    named = replace(scene, names=names)
    model = pycolmap.Reconstruction(write_scene(tmp_path, named, find_exporters(["colmap"]), FEW)["colmap"])
    assert [model.image(i).name for i in (1, 2, 3, 4)] == names
    assert "COLMAP reads 'my photo 1.jpg' in images.txt up to its first space; images.bin holds it whole" in caplog.text
