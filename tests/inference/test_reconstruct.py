"""From a prediction to cameras and points in the pixels of the user's own photos, also when the model talks nonsense."""

import errno
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_scenes import Told

from zipmap_pl.errors import UserError
from zipmap_pl.images.photo import DecodedPhoto
from zipmap_pl.inference.export import find_exporters, new_folder, write_scene
from zipmap_pl.inference.points import PointChoice, choose_points
from zipmap_pl.inference.reconstruct import choose_device, reconstruct
from zipmap_pl.inference.sources.model_images import fit_photo

SIZE = (28, 42)
CPU = torch.device("cpu")


def told(pose: torch.Tensor, depth: torch.Tensor) -> Told:
    """A model that predicts pose [S, 9] and depth [S, h, w], and no points."""
    return Told(pose, depth, torch.zeros(*depth.shape, 3))


def photos(*sizes: tuple[int, int]) -> list:
    return [
        fit_photo(f"{i}.jpg", DecodedPhoto(np.full((*size, 3), 40 * i, np.uint8)), SIZE) for i, size in enumerate(sizes)
    ]


def poses(views: int) -> torch.Tensor:
    """Cameras one unit apart along x, the first one not at the origin and turned; 60 degrees high, 80 wide."""
    turn = torch.tensor([0.0, np.sin(0.3), 0.0, np.cos(0.3)])
    fields = torch.tensor([60.0, 80.0]).deg2rad()
    return torch.stack([torch.cat([torch.tensor([2.0 + i, 0.5, 0.0]), turn, fields]) for i in range(views)])


def test_points_project_to_their_pixels_of_the_own_photo() -> None:
    """Two photos of other shapes: one cropped above and below, one at the sides."""
    pictures = photos((300, 200), (100, 400))
    depth = 1 + torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0))
    everything = PointChoice(0.0, edge_angle=0.0)
    scene = reconstruct(told(poses(2), depth), pictures, CPU)
    assert np.allclose(scene.world_to_cam[0], np.eye(4)[:3], atol=1e-12)
    y, x = np.indices(SIZE) + 0.5
    points = choose_points(scene, everything).points.reshape(2, *SIZE, 3)
    for view, picture in enumerate(pictures):
        local = points[view] @ scene.world_to_cam[view, :, :3].T + scene.world_to_cam[view, :, 3]
        assert np.allclose(local[..., 2], scene.depth[view], atol=1e-5)
        pixels = local @ scene.source_intrinsics[view].T
        pixels = pixels[..., :2] / pixels[..., 2:]
        sx, sy, x0, y0 = picture.source_from_model
        assert np.allclose(pixels, np.stack([x * sx + x0, y * sy + y0], -1), atol=0.01)
        height, width = picture.source_size
        assert np.allclose(scene.source_intrinsics[view, :2, 2], [width / 2, height / 2], atol=1e-3)
        assert (pixels > 0).all()
        assert (pixels < [width, height]).all()


def test_one_photo_is_a_scene(tmp_path: Path) -> None:
    scene = reconstruct(told(poses(1), torch.ones(1, *SIZE)), photos((280, 420)), CPU)
    assert all(
        path.exists() for path in write_scene(tmp_path, scene, find_exporters(), PointChoice(max_points=100)).values()
    )


@pytest.mark.parametrize("field_of_view", [0.0, 3.2, float("inf")])
def test_an_impossible_field_of_view_gives_a_positive_finite_focal_length(field_of_view: float) -> None:
    pose = poses(2)
    pose[1, 7:] = field_of_view
    scene = reconstruct(told(pose, torch.ones(2, *SIZE)), photos((28, 42), (28, 42)), CPU)
    focal = scene.intrinsics[:, [0, 1], [0, 1]]
    assert np.isfinite(focal).all()
    assert (focal > 0).all()


def test_a_view_without_finite_camera_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pose, depth = poses(3), torch.ones(3, *SIZE)
    pose[1, 3:7] = 0  # no rotation at all
    depth[2, :5] = float("inf")
    with caplog.at_level(logging.WARNING):
        scene = reconstruct(told(pose, depth), photos(*[(28, 42)] * 3), CPU)
    assert "no finite camera for 1 of 3 views, the first is 1.jpg" in caplog.text
    paths = write_scene(tmp_path, scene, find_exporters(), PointChoice(0.0))
    cameras = json.loads(paths["cameras"].read_text())["views"]
    assert [camera["world_to_cam"] is None for camera in cameras] == [False, True, False]
    ply = paths["points (ply)"].read_bytes()
    assert b"element vertex %d\n" % (28 * 42 + 23 * 42) in ply


def test_a_prediction_without_any_number_is_refused() -> None:
    with pytest.raises(UserError, match="no finite camera and depth for any of 2 views"):
        reconstruct(told(poses(2) * torch.nan, torch.ones(2, *SIZE)), photos((28, 42), (28, 42)), CPU)


def test_a_full_disk_names_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    message = f"{tmp_path / 'out'}: No space left on device; make room"
    with pytest.raises(UserError, match=message), new_folder(tmp_path / "out") as folder:
        (folder / "points.ply").write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does it, without a file's name
    assert not list(tmp_path.iterdir())


def test_a_folder_of_results_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as folder:
        (folder / "whole").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "whole"]
    with pytest.raises(UserError, match="not empty"), new_folder(tmp_path / "out"):
        pass


@pytest.mark.parametrize("name", ["bogus", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"--device {name}: not usable here"):
        choose_device(name)
