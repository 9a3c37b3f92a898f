"""Scenes whose every number is known: a room with a pillar, photographed by exact cameras, predicted by a model that is told.

The room is a box around the world's origin, y down. Its surfaces have a color at every place.
"""

from pathlib import Path

import numpy as np
import torch

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.contracts.scene import Camera, Scene
from zipmap_pl.geometry.exact_cameras import invert_rigid
from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.images.photo import DecodedPhoto
from zipmap_pl.inference.reconstruct import reconstruct
from zipmap_pl.inference.sources.model_images import ModelImage, fit_photo

ROOM = np.array([3.0, 1.5, 4.0])  # half its size
PILLAR = np.array([[-0.4, -1.5, 0.6], [0.4, 1.5, 1.4]])  # from corner to corner
SIZE = (84, 84)
CPU = torch.device("cpu")


class Told(torch.nn.Module):
    """A model that predicts what it is told for every view: pose [S, 9], depth [S, h, w], local points [S, h, w, 3]."""

    def __init__(self, pose: torch.Tensor, depth: torch.Tensor, local_points: torch.Tensor) -> None:
        super().__init__()
        confidence = 1 + torch.rand(depth.shape, generator=torch.Generator().manual_seed(0))
        self.prediction = Prediction(
            pose[None], [pose[None]], depth[None, ..., None], confidence[None], local_points[None]
        )

    def forward(self, images: torch.Tensor) -> Prediction:
        return self.prediction


def turn(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """World-to-camera rotation [3, 3] of a camera that is turned right, then up, then rolled, by degrees."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).T


def camera(name: str, place: tuple[float, ...], rotation: np.ndarray, focal: float, size: tuple[int, int]) -> Camera:
    """A camera in the room, its principal point at the image's center."""
    height, width = size
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(name, np.c_[rotation, -rotation @ np.array(place)], intrinsics, size)


def phone_cameras() -> list[Camera]:
    """Four photos of a phone, the second one portrait, pitched differently; all of them see the pillar."""
    return [
        camera("IMG_0001.jpg", (0, 0, -3), turn(0, -5), 260, (240, 320)),
        camera("IMG_0002.jpg", (0.7, 0.2, -2.8), turn(-8, 3), 260, (320, 240)),
        camera("IMG_0003.jpg", (-0.9, -0.2, -2.9), turn(12, -10), 260, (240, 320)),
        camera("IMG_0004.jpg", (0.2, 0.1, -2.5), turn(-3, 8), 260, (240, 320)),
    ]


def depth_of(world_to_cam: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Planar depth [h, w] float64 of the room."""
    y, x = np.indices(size) + 0.5
    rays = np.stack(
        [(x - intrinsics[0, 2]) / intrinsics[0, 0], (y - intrinsics[1, 2]) / intrinsics[1, 1], x * 0 + 1], -1
    )
    cam_to_world = invert_rigid(world_to_cam)
    rays, start = rays @ cam_to_world[:, :3].T, cam_to_world[:, 3]
    with np.errstate(divide="ignore"):
        walls = ((np.sign(rays) * ROOM - start) / rays).min(axis=-1)
        sides = (PILLAR[:, None, None] - start) / rays
    enters, leaves = sides.min(axis=0).max(axis=-1), sides.max(axis=0).min(axis=-1)
    return np.where((enters < leaves) & (enters > 0), enters, walls)


def points_of(depth: np.ndarray, shown: Camera) -> np.ndarray:
    """World points [h, w, 3] of a depth map, written out without the project's functions."""
    y, x = np.indices(depth.shape) + 0.5
    k = shown.intrinsics
    local = np.stack([(x - k[0, 2]) / k[0, 0] * depth, (y - k[1, 2]) / k[1, 1] * depth, depth], -1)
    return (local - shown.world_to_cam[:, 3]) @ shown.world_to_cam[:, :3]


def photo_of(shown: Camera) -> np.ndarray:
    """The photo [H, W, 3] uint8: a color that changes slowly over the surfaces of the room."""
    points = points_of(depth_of(shown.world_to_cam, shown.intrinsics, shown.size), shown)
    return np.rint(127 + 120 * np.sin(1.5 * points)).astype(np.uint8)


def model_images(cameras: list[Camera], size: tuple[int, int] = SIZE) -> list[ModelImage]:
    """Their photos as the model takes them."""
    return [fit_photo(shown.name, DecodedPhoto(photo_of(shown)), size) for shown in cameras]


def told_exactly(cameras: list[Camera], images: list[ModelImage]) -> Told:
    """A model that knows the room and the cameras."""
    poses, depths, points = [], [], []
    for shown, image in zip(cameras, images, strict=True):
        sx, sy, x0, y0 = image.source_from_model
        back = np.array([[sx, 0, x0], [0, sy, y0], [0, 0, 1]])
        intrinsics, size = np.linalg.inv(back) @ shown.intrinsics, (image.image.shape[0], image.image.shape[1])
        depth = torch.from_numpy(depth_of(shown.world_to_cam, intrinsics, size))
        poses.append(encode_pose(torch.from_numpy(shown.world_to_cam), torch.from_numpy(intrinsics), *size))
        depths.append(depth)
        points.append(unproject(depth, torch.from_numpy(intrinsics)))
    return Told(torch.stack(poses), torch.stack(depths), torch.stack(points))


def exact_scene(cameras: list[Camera] | None = None, size: tuple[int, int] = SIZE, folder: Path | None = None) -> Scene:
    """What `reconstruct` makes of photos of the room when the model knows everything."""
    cameras = phone_cameras() if cameras is None else cameras
    images = model_images(cameras, size)
    scene = reconstruct(told_exactly(cameras, images), images, CPU)
    scene.folder = folder
    return scene


def in_first_camera(cameras: list[Camera]) -> np.ndarray:
    """World-to-camera [S, 4, 4] of cameras when the world is the first one."""
    square = [np.r_[shown.world_to_cam, [[0, 0, 0, 1]]] for shown in cameras]
    return np.stack([matrix @ np.linalg.inv(square[0]) for matrix in square])
