"""Rooms whose geometry is known in closed form: a box, seen from inside, painted with a smooth pattern.

The room's own axes are right, down, forward; a miniature turns them into its raw world. A box is convex, so nothing is
hidden, and what one camera sees another one sees too if it is in its picture.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

NO_TURN = np.eye(3)
# Benchmarks set these before they import a miniature: how many times larger than usual its images are, and how many gray levels
# of noise lie on them, so that they cost what photos cost.
SCALE, GRAIN = 1, 0


@dataclass(frozen=True)
class Room:
    """A box around the origin.

    Attributes:
        half: half its width, height and length, in the raw unit.
        open_sky: there is no ceiling.
        seed: of the paint and of the camera's path.
    """

    half: tuple[float, float, float] = (2.0, 1.5, 3.0)
    open_sky: bool = False
    seed: int = 0

    def pose(self, place: int) -> np.ndarray:
        """Camera-to-room [4, 4] of step `place` of a walk that sways, turns and nods."""
        pose = np.eye(4)
        angles = (0.05 * np.sin(0.9 * place + self.seed), 0.04 * place + 0.3 * self.seed, 0.02 * np.cos(place))
        pose[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix()
        step = np.array((0.03 * place - 0.1, 0.04 * np.sin(0.7 * place), -0.25 + 0.02 * place))
        pose[:3, 3] = step * np.array(self.half)
        return pose

    def see(self, pose: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> "View":
        """What a pinhole camera [3, 3] (from the picture's corner) with this camera-to-room [4, 4] sees."""
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        pixels = np.stack((columns, rows, np.ones_like(rows)), axis=-1)
        return self.trace(pose, pixels @ np.linalg.inv(intrinsics).T)

    def trace(self, pose: np.ndarray, rays: np.ndarray) -> "View":
        """The same for any rays [H, W, 3] in the camera's frame; depth is in lengths of each ray."""
        rays = rays @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            to_walls = (np.sign(rays) * np.array(self.half) - pose[:3, 3]) / rays
        wall = np.argmin(to_walls, axis=-1)
        depth = np.min(to_walls, axis=-1)
        sky = (wall == 1) & (rays[..., 1] < 0) & self.open_sky
        image = self.paint(pose[:3, 3] + rays * depth[..., None])
        image[sky] = (120, 170, 250)
        return View(image, np.where(sky, 0.0, depth), sky)

    def paint(self, points: np.ndarray) -> np.ndarray:
        """Colours [..., 3] uint8 of points [..., 3]: smooth, another for every point near by."""
        waves = np.array(((1.1, 0.3, 0.2), (0.2, 1.3, -0.4), (-0.3, 0.4, 0.9)))
        colors = 128 + 90 * np.sin(points @ waves.T * 2 / max(self.half) * 2 + self.seed)
        grain = np.random.default_rng(self.seed).integers(-GRAIN, GRAIN, colors.shape, endpoint=True)
        return (colors + grain).astype(np.uint8)


@dataclass(frozen=True)
class View:
    """Picture [H, W, 3] uint8, depth [H, W] float64 (0 in the sky), sky [H, W] bool."""

    image: np.ndarray
    depth: np.ndarray
    sky: np.ndarray


def pinhole(focal: float, cx: float, cy: float) -> np.ndarray:
    """[3, 3] with square pixels."""
    return np.array(((focal, 0.0, cx), (0.0, focal, cy), (0.0, 0.0, 1.0)))


def turned(pose: np.ndarray, world_from_room: np.ndarray) -> np.ndarray:
    """A camera-to-room [4, 4] as camera-to-world, in a world whose axes are turned by a rotation [3, 3]."""
    turn = np.eye(4)
    turn[:3, :3] = world_from_room
    return turn @ pose
