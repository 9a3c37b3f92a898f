"""Real photos of four cameras, upright and lying, in one folder: what comes out opens in the programs that the formats stand for.

The model is untrained, so its geometry means nothing; every number still has to lead back to the pixel of the photo that it comes from.
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
import trimesh
from nerfstudio_rules import by_nerfstudios_rules
from photos_and_model import untrained_checkpoint
from PIL import Image
from shared_files import SHARED, there

import zipmap_pl
from zipmap_pl.inference.export import find_exporters, write_scene
from zipmap_pl.inference.points import PointChoice
from zipmap_pl.inference.reconstruction import Reconstruction

PHOTOS = {
    "co3d_apple_posediffusion/frame000007.jpg": (1896, 1066),
    "lund_door_colmap/images/DSC_0001.JPG": (1936, 1296),
    "hololens_dvmvs/images/00003.png": (360, 540),
    "livingroom_open3d/image/00000.jpg": (480, 640),
}
FORMATS = ["colmap", "glb", "ply", "nerfstudio", "npz", "photo_depth", "tum", "exr", "preview"]
POINTS = 400


@dataclass(frozen=True)
class Result:
    """The scene of real photos, the folder of its files, and what was logged."""

    scene: Reconstruction
    folder: Path
    logged: list[str]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("real")
    photos = folder / "photos"
    photos.mkdir()
    for name in PHOTOS:
        shutil.copy(there(SHARED / "data" / name), photos)
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("zipmap_pl.inference")
    logger.addHandler(handler)
    try:
        scene = zipmap_pl.reconstruct(photos, untrained_checkpoint(folder))
    finally:
        logger.removeHandler(handler)
    (folder / "out").mkdir()
    write_scene(folder / "out", scene, find_exporters(FORMATS), PointChoice(0.0, POINTS, edge_angle=0))
    return Result(scene, folder, logged)


def own_size(photo: Path) -> tuple[int, int]:
    with Image.open(photo) as image:
        return image.height, image.width


def expected_pixels(result: Result) -> dict[str, np.ndarray]:
    """Where the points of npz lie in the photo that each comes from, by the rule of docs/reconstruct.md: {name: [n, 2]}."""
    views = json.loads((result.folder / "out" / "cameras.json").read_text())["views"]
    with np.load(result.folder / "out" / "scene.npz") as arrays:
        pixels, of = arrays["point_pixels"], arrays["point_views"]
    found = {}
    for number, view in enumerate(views):
        rule = view["photo_from_model"]
        rows, columns = pixels[of == number].T
        x = rule["scale_x"] * (columns + 0.5) + rule["left"]
        y = rule["scale_y"] * (rows + 0.5) + rule["top"]
        found[view["name"]] = np.stack([x, y], axis=1)
    return found


def test_every_photo_is_there_with_its_size_and_share(result: Result) -> None:
    sizes = {Path(name).name: size for name, size in PHOTOS.items()}
    assert {shown.name: shown.size for shown in result.scene.cameras} == sizes
    assert ((result.scene.kept > 0.4) & (result.scene.kept <= 1)).all()


def test_photos_that_lose_more_than_a_quarter_are_named_in_the_log(result: Result) -> None:
    poor = [
        f"{name} ({kept:.0%})"
        for name, kept in zip(result.scene.names, result.scene.kept, strict=True)
        if round(kept, 6) < 0.75
    ]
    assert poor
    line = next(line for line in result.logged if "less than 75 %" in line)
    assert line.endswith(", ".join(poor))


def test_colmap_reprojects_every_point_onto_its_pixel_of_the_own_photo(result: Result) -> None:
    model = pycolmap.Reconstruction(result.folder / "out" / "colmap" / "sparse" / "0")
    expected = expected_pixels(result)
    assert {image.name for image in model.images.values()} == set(expected)
    errors, seen = [], {name: [] for name in expected}
    for point in model.points3D.values():
        first = point.track.elements[0]
        image = model.images[first.image_id]
        camera = model.cameras[image.camera_id]
        assert (camera.height, camera.width) == own_size(result.folder / "photos" / image.name)
        pixel = image.points2D[first.point2D_idx].xy
        seen[image.name].append(pixel)
        errors.append(np.abs(camera.img_from_cam(image.cam_from_world() * point.xyz) - pixel).max())
    assert len(errors) == POINTS
    assert max(errors) < 0.5
    for name, pixels in expected.items():
        assert np.abs(np.array(sorted(map(tuple, seen[name]))) - np.array(sorted(map(tuple, pixels)))).max() < 0.5


def test_ply_and_glb_hold_the_points_and_colors_of_the_photos(result: Result) -> None:
    ply = trimesh.load(result.folder / "out" / "points.ply")
    with np.load(result.folder / "out" / "scene.npz") as arrays:
        assert np.array_equal(ply.vertices.astype(np.float32), arrays["points"])
        assert np.array_equal(ply.colors[:, :3], arrays["colors"])
    glb = trimesh.load(result.folder / "out" / "points.glb", force="scene")
    cloud = next(each for each in glb.dump() if isinstance(each, trimesh.PointCloud))
    turned, _, _ = trimesh.registration.procrustes(ply.vertices, cloud.vertices, reflection=False, scale=False)
    assert np.abs(trimesh.transform_points(ply.vertices, turned) - cloud.vertices).max() < 1e-3 * ply.scale


def test_transforms_json_leads_to_the_photos_and_back_to_their_pixels(result: Result) -> None:
    folder = result.folder / "out" / "nerfstudio"
    points = np.asarray(trimesh.load(folder / "sparse_pc.ply").vertices)
    with np.load(result.folder / "out" / "scene.npz") as arrays:
        of = arrays["point_views"]
    expected = list(expected_pixels(result).values())
    for view, (photo, pose, k, size) in enumerate(by_nerfstudios_rules(folder / "transforms.json")):
        assert own_size(photo) == size
        x, y, z = ((points[of == view] - pose[:3, 3]) @ pose[:3, :3]).T
        pixels = np.stack([k[0, 0] * x / -z + k[0, 2], k[1, 1] * -y / -z + k[1, 2]], axis=1)
        assert np.abs(pixels - expected[view]).max() < 0.5


def test_depth_at_the_size_of_every_photo_is_that_of_its_points(result: Result) -> None:
    folder = result.folder / "out" / "photo_depth"
    step = json.loads((folder / "scale.json").read_text())["step"]["depth"]
    for view, (stem, name) in enumerate(zip(result.scene.stems, result.scene.names, strict=True)):
        depth = cv2.imread(str(folder / f"{stem}.depth.png"), cv2.IMREAD_UNCHANGED)
        assert depth.shape == own_size(result.folder / "photos" / name)
        middle = depth[depth.shape[0] // 2, depth.shape[1] // 2] * step
        h, w = result.scene.depth.shape[1:]
        around = result.scene.depth[view, h // 2 - 1 : h // 2 + 1, w // 2 - 1 : w // 2 + 1]
        assert around.min() * 0.99 <= middle <= around.max() * 1.01
