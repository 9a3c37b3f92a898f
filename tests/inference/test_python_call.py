"""`scene = zipmap_pl.reconstruct("photos/", checkpoint=...)`, and everything that the scene can do."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from made_up_scenes import CPU, SIZE, camera, in_first_camera, model_images, phone_cameras, told_exactly, turn
from pages import DOCS
from photos_and_model import two_photos, untrained_checkpoint

import zipmap_pl
from zipmap_pl.discovery import names_in
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.gravity import estimate_down
from zipmap_pl.geometry.rays import query_rays
from zipmap_pl.inference import exporters
from zipmap_pl.inference.points import PointChoice
from zipmap_pl.inference.reconstruct import reconstruct
from zipmap_pl.inference.reconstruction import Reconstruction

PAGE = DOCS / "reconstruct.md"


def known_scene() -> Reconstruction:
    images = model_images(phone_cameras())
    return reconstruct(told_exactly(phone_cameras(), images), images, CPU)


@pytest.fixture(scope="module")
def scene() -> Reconstruction:
    return known_scene()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two photos, and an untrained model with a query head."""
    folder = tmp_path_factory.mktemp("python")
    photos = two_photos(folder).rename(folder / "my_photos")
    return photos, untrained_checkpoint(folder / "runs" / "own", "model.query_head=true")


@pytest.fixture(scope="module")
def predicted(given: tuple[Path, Path]) -> Reconstruction:
    photos, checkpoint = given
    return zipmap_pl.reconstruct(str(photos), checkpoint=str(checkpoint))


def test_photos_become_cameras_depth_and_points(predicted: Reconstruction) -> None:
    assert [shown.name for shown in predicted.cameras] == ["a.jpg", "b.png"]
    assert [shown.size for shown in predicted.cameras] == [(90, 120), (120, 90)]
    assert [shown.size for shown in predicted.model_cameras] == [(56, 56)] * 2
    assert predicted.depth.shape == predicted.confidence.shape == (2, 56, 56)
    assert np.allclose(predicted.kept, 0.75)
    cloud = predicted.points(confidence=50, edge_angle=0)
    assert len(cloud.points) == pytest.approx(56 * 56, abs=2)


def test_down_is_estimated_from_the_cameras_or_the_first_ones(
    predicted: Reconstruction, given: tuple[Path, Path]
) -> None:
    assert np.allclose(predicted.down, estimate_down(predicted.world_to_cam))
    assert not np.allclose(predicted.down, [0, 1, 0], atol=1e-3)
    plain = zipmap_pl.reconstruct(given[0], given[1], upright=False)
    assert plain.down.tolist() == [0, 1, 0]


def test_a_query_of_a_size_that_the_model_cannot_make_is_refused(predicted: Reconstruction) -> None:
    with pytest.raises(ValueError, match="90 x 120.*multiple"):
        predicted.query(predicted.cameras[0])


def test_maps_of_every_photo_come_at_its_own_size(predicted: Reconstruction) -> None:
    """Landscape and portrait; the crop of three quarters is filled, the rest is 0."""
    for view, shown in enumerate(predicted.cameras):
        depth, confidence = predicted.photo_maps(view)
        assert depth.shape == confidence.shape == shown.size
        assert depth.dtype == confidence.dtype == np.float32
        assert np.mean(depth > 0) == pytest.approx(predicted.kept[view], abs=0.01)
        assert np.array_equal(depth > 0, confidence > 0)


def test_a_query_from_a_camera_is_what_the_model_sees_along_its_rays(predicted: Reconstruction) -> None:
    moved = replace(predicted.model_cameras[1], world_to_cam=predicted.world_to_cam[1].copy())
    moved.world_to_cam[:, 3] += (0.1, 0, 0.05)
    seen = predicted.query(moved)
    cameras, lens = torch.from_numpy(predicted.world_to_cam), torch.from_numpy(moved.intrinsics)
    rays = query_rays(torch.from_numpy(moved.world_to_cam)[None], lens[None], 56, 56, cameras).float()[None]
    images = torch.from_numpy(predicted.images).permute(0, 3, 1, 2)[None].float() / 255
    assert predicted.model is not None
    with torch.inference_mode():
        expected = predicted.model(images, target_rays=rays)
    assert np.allclose(seen.depth, expected.nvs_pred[0, 0, ..., 3], rtol=1e-4)
    assert np.abs(seen.image / 255 - expected.nvs_pred[0, 0, ..., :3].numpy()).max() < 0.003
    assert np.allclose(seen.confidence, expected.nvs_depth_conf[0, 0], rtol=1e-4)


def test_a_long_sequence_can_be_queried(predicted: Reconstruction, given: tuple[Path, Path]) -> None:
    long = zipmap_pl.reconstruct(given[0], given[1], views_per_chunk=1)
    plain, chunks = (one.query(predicted.model_cameras[1]) for one in (predicted, long))
    assert np.allclose(chunks.depth, plain.depth, rtol=0.02)


def test_a_query_in_another_world_sees_the_same_in_its_unit(predicted: Reconstruction) -> None:
    known = predicted.world_to_cam.copy()
    known[:, :, 3] *= 4
    aligned = predicted.align_to(known)
    before, after = (one.query(one.model_cameras[1]) for one in (predicted, aligned))
    assert np.allclose(after.depth, 4 * before.depth, rtol=1e-3)
    assert np.abs(after.image.astype(int) - before.image).max() <= 1


def test_a_scene_without_a_query_head_says_so(scene: Reconstruction) -> None:
    with pytest.raises(UserError, match="no model with a query head; the published checkpoint_state_query.pt has"):
        scene.query(scene.model_cameras[0])


def test_alignment_brings_everything_into_the_world_and_unit_of_known_cameras(scene: Reconstruction) -> None:
    """The cameras of the room itself, in centimeters; one of them is not known."""
    turned = in_first_camera(phone_cameras())
    known = np.stack([shown.world_to_cam for shown in phone_cameras()])
    known[:, :, 3] *= 100
    partly = known.copy()
    partly[2] = np.nan
    aligned = scene.align_to(partly)
    assert np.allclose(scene.world_to_cam, turned[:, :3], atol=1e-5)
    assert np.allclose(aligned.world_to_cam, known, atol=1e-3)
    assert np.allclose(aligned.depth, 100 * scene.depth, rtol=1e-5)
    points = aligned.points(0, edge_angle=0).points
    assert np.abs(points).max(axis=0) == pytest.approx([300, 150, 400], abs=0.05)  # the walls
    assert np.allclose(aligned.points(0, edge_angle=0, source="head").points, points, atol=0.01)
    assert np.allclose(aligned.down, [0, 1, 0], atol=0.02)
    assert np.allclose(scene.world_to_cam, turned[:, :3], atol=1e-5)  # the scene itself stays


def test_two_cameras_and_cameras_on_a_line_are_enough(scene: Reconstruction) -> None:
    for count in (2, 4):
        cameras = [camera(f"{i}.jpg", (0.2 * i, 0, -3), turn(5 * i, 0), 200, (120, 160)) for i in range(count)]
        images = model_images(cameras, (28, 28))
        known = np.stack([np.r_[shown.world_to_cam, [[0, 0, 0, 1]]] for shown in cameras])
        aligned = reconstruct(told_exactly(cameras, images), images, CPU).align_to(known)
        assert np.allclose(aligned.world_to_cam, known[:, :3], atol=1e-5)


def test_poses_that_tell_no_similarity_are_refused(scene: Reconstruction) -> None:
    known = scene.world_to_cam.copy()
    with pytest.raises(ValueError, match=r"poses are \[3, 3, 4\], expected world_to_cam \[4, 3, 4\]"):
        scene.align_to(known[:3])
    known[1:] = np.nan
    with pytest.raises(UserError, match="found 1 views with two finite cameras"):
        scene.align_to(known)
    known[:] = np.eye(3, 4)
    with pytest.raises(UserError, match="no scale fits"):
        scene.align_to(known)


def test_a_file_is_saved_by_its_suffix_over_an_older_one(scene: Reconstruction, tmp_path: Path) -> None:
    path = tmp_path / "new" / "kitchen.PLY"
    for budget in (300, 200):
        scene.save(path, PointChoice(0.0, budget))
        assert len(trimesh.load(path, file_type="ply").vertices) == budget
    assert [file.name for file in path.parent.iterdir()] == ["kitchen.PLY"]
    scene.save(str(tmp_path / "kitchen.glb"))
    assert trimesh.load(tmp_path / "kitchen.glb", force="scene").geometry


def test_a_folder_is_saved_whole(scene: Reconstruction, tmp_path: Path) -> None:
    scene.save(tmp_path / "kitchen", PointChoice(max_points=100))
    assert {"cameras.json", "points.glb", "colmap", "scene.npz"} <= {p.name for p in (tmp_path / "kitchen").iterdir()}
    with pytest.raises(UserError, match="not empty"):
        scene.save(tmp_path / "kitchen")


@pytest.mark.parametrize(
    ("name", "said"),
    [("x.obj", "unknown exporter 'obj', expected one of cameras"), ("x.depth", "depth is not one file")],
)
def test_a_format_that_is_none_leaves_nothing(scene: Reconstruction, tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        scene.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_maps_come_at_the_size_of_the_own_photo(scene: Reconstruction) -> None:
    depth, confidence = scene.photo_maps(1)
    assert depth.shape == confidence.shape == scene.cameras[1].size == (320, 240)
    assert depth[160, 120] == pytest.approx(scene.depth[1][SIZE[0] // 2, SIZE[1] // 2], rel=0.02)


def test_the_examples_of_the_page_run(given: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(given[0].parent)
    names: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)), names)
    assert names["view"].image.shape == (56, 56, 3)
    assert Path("kitchen.glb").is_file()


def test_the_table_of_the_page_has_every_format_and_marks_the_usual_ones() -> None:
    rows = re.findall(r"^\| `(\w+)` (\*)? ?\|", PAGE.read_text(), flags=re.MULTILINE)
    assert {name for name, _ in rows} == set(names_in(exporters)) - {"cameras"}
    assert {name for name, star in rows if star} == set(exporters.USUAL) - {"cameras"}
