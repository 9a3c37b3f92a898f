"""Real photos with known cameras and depth, through crop, prediction and files."""

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
import torch
from made_up_scenes import CPU, Told
from shared_files import SHARED, there

from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.inference.export import find_exporters, write_scene
from zipmap_pl.inference.points import PointChoice
from zipmap_pl.inference.reconstruct import reconstruct
from zipmap_pl.inference.sources.model_images import choose_images, load_images

LENS = np.array([[525, 0, 319.5], [0, 525, 239.5], [0, 0, 1.0]])


def known_poses(folder: Path) -> dict[int, np.ndarray]:
    """Camera-to-world [4, 4] by frame number."""
    lines = (folder / "trajectory.log").read_text().splitlines()
    rows = [np.array([line.split() for line in lines[i + 1 : i + 5]], float) for i in range(0, len(lines) - 4, 5)]
    return {int(lines[5 * i].split()[0]): pose for i, pose in enumerate(rows)}


def test_a_living_room_gives_a_model_whose_tracks_land_on_the_same_thing_in_all_photos(tmp_path: Path) -> None:
    """The colors around a point's pixels agree between the photos of its track, at the size of the photos."""
    data = there(SHARED / "data" / "livingroom_open3d")
    images = load_images(choose_images(data / "image", every=16), 252, 14, (0.33, 1.0))
    known, told = known_poses(data), []
    for image in images:
        number, (sx, sy, x0, y0) = int(Path(image.name).stem), image.source_from_model
        depth = cv2.imread(str(data / "depth" / f"{number:05d}.png"), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        rows, columns = (
            (np.arange(n) + 0.5) * s + o for n, s, o in zip(image.image.shape, (sy, sx), (y0, x0), strict=False)
        )
        depth = depth[np.ix_(rows.astype(int), columns.astype(int))]
        lens = np.linalg.inv(np.array([[sx, 0, x0], [0, sy, y0], [0, 0, 1]])) @ LENS
        height, width = depth.shape
        lens[:2, 2] = width / 2, height / 2  # the model's cameras have no principal point
        pose = encode_pose(torch.from_numpy(np.linalg.inv(known[number])), torch.from_numpy(lens), height, width)
        points = unproject(torch.from_numpy(depth).double(), torch.from_numpy(lens))
        told.append((pose, torch.from_numpy(np.where(depth > 0, depth, np.nan)), points))
    scene = reconstruct(Told(*map(torch.stack, zip(*told, strict=True))), images, CPU)
    assert scene.kept == pytest.approx(27 / 28)  # 18 x 13.5 patches become 18 x 14
    found = write_scene(tmp_path, scene, find_exporters(["colmap", "glb"]), PointChoice(0.0, 500))["colmap"]
    model = pycolmap.Reconstruction(found)
    assert [model.image(number + 1).name for number in range(len(images))] == [image.name for image in images]
    photos = {
        number: cv2.GaussianBlur(cv2.imread(str(data / "image" / image.name)), (5, 5), 0).astype(float)
        for number, image in model.images.items()
    }
    differences, lengths = [], []
    for point in model.points3D.values():
        seen = []
        for element in point.track.elements:
            x, y = model.images[element.image_id].points2D[element.point2D_idx].xy
            seen.append(photos[element.image_id][int(y), int(x)])
        lengths.append(len(seen))
        differences.append(np.abs(np.array(seen) - seen[0]).max())
    assert np.mean(lengths) > 3
    assert np.median(differences) < 6
