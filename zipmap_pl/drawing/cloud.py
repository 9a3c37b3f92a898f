"""A coloured point cloud and its cameras in perspective, seen from behind the cameras and a little above them."""

from dataclasses import dataclass, field, replace

import numpy as np

from zipmap_pl.drawing.cameras_from_above import PATH_COLOURS, draw_line, finite_poses, ground_axes
from zipmap_pl.drawing.text import BACKGROUND

# Where the onlooker stands: behind the cameras, beside and above them, in the size of the scene as they see it.
BEHIND, BESIDE, ABOVE = 0.7, -0.4, 0.4
NEAREST = 0.15  # of the onlooker's distance to the middle of the cloud: what is nearer is not drawn
SHOWN = (2, 98)  # percentiles of the points that the picture shows, across and down
COVER = 2.0  # side of a point's square over the room that a point has if all share the picture
SMALLEST, LARGEST = 1, 6  # side of a point's square in pixels
MAX_CAMERAS = 8
CAMERA_SIZE = 0.04  # of the onlooker's distance
# A camera's centre and the corners of its picture; edges between them.
CAMERA = np.array([[0, 0, 0], [-0.6, -0.45, 1], [0.6, -0.45, 1], [0.6, 0.45, 1], [-0.6, 0.45, 1]])
EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))


def draw_cloud(
    points: np.ndarray, colours: np.ndarray, cam_to_world: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Draw points [P, 3] (world) in their colours [P, 3] uint8 and some of the cameras, RGB [height, width, 3] uint8.

    cam_to_world [N, 4, 4] or [N, 3, 4] (OpenCV axes) tell from where the scene is looked at, and stand in the picture as
    small pyramids. Near points hide far ones. Points and cameras that are not finite are left out; without any of the
    one or the other the picture is empty.
    """
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    poses, finite = finite_poses(cam_to_world), np.isfinite(points).all(axis=1)
    if not len(poses) or not finite.any():
        return picture
    view = _View.of(poses, points[finite].astype(np.float64))
    drawn = poses[np.unique(np.linspace(0, len(poses) - 1, MAX_CAMERAS).round().astype(int))]
    pyramids = view.distance * CAMERA_SIZE * CAMERA @ drawn[:, :, :3].transpose(0, 2, 1) + drawn[:, None, :, 3]
    view = view.filling(width, height, points[finite], pyramids.reshape(-1, 3))
    _draw_squares(picture, *view.pixels(points[finite]), colours[finite])
    for pyramid in pyramids:
        corners, depth = view.pixels(pyramid)
        if np.isfinite(depth).all():
            for start, end in EDGES:
                draw_line(picture, corners[start], corners[end], PATH_COLOURS[0], 1)
    return picture


@dataclass(frozen=True)
class _View:
    """An onlooker's camera: world to onlooker [3, 3], place [3], distance to the middle of the cloud, lens."""

    rotation: np.ndarray
    place: np.ndarray
    distance: float
    focal: float = 1.0
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))

    @staticmethod
    def of(poses: np.ndarray, points: np.ndarray) -> "_View":
        right, forward = ground_axes(poses)
        up = np.cross(right, forward)
        middle, cameras = np.median(points, axis=0), poses[:, :, 3].mean(axis=0)
        walked = np.linalg.norm(poses[:, :, 3] - cameras, axis=1).max()
        reach = max(float(np.median(np.linalg.norm(points - cameras, axis=1))), 1.5 * float(walked), 1e-9)
        place = cameras + reach * (BESIDE * right - BEHIND * forward + ABOVE * up)
        ahead, distance = _direction(middle - place, forward)
        across, _ = _direction(np.cross(ahead, up), right)
        return _View(np.stack([across, np.cross(ahead, across), ahead]), place, distance)

    def filling(self, width: int, height: int, points: np.ndarray, whole: np.ndarray) -> "_View":
        """The view whose picture nearly all of `points` [P, 3] fill, and all of `whole` [Q, 3]."""
        seen, outer = (pixels[np.isfinite(depth)] for pixels, depth in map(self.pixels, (points, whole)))
        if not len(seen):
            return self
        edges = np.concatenate([np.percentile(seen, SHOWN, axis=0), outer])
        low, high, size = edges.min(axis=0), edges.max(axis=0), np.array([width, height])
        focal = float(np.min(size / np.maximum(high - low, 1e-9)))
        return replace(self, focal=focal, shift=size / 2 - focal * (low + high) / 2)

    def pixels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [P, 2] (x right, y down) of world points [P, 3], and their depths [P]: NaN where too near or behind."""
        seen = (points - self.place) @ self.rotation.T
        depth = np.where(seen[:, 2] > NEAREST * self.distance, seen[:, 2], np.nan)
        return self.focal * seen[:, :2] / depth[:, None] + self.shift, depth


def _direction(vector: np.ndarray, otherwise: np.ndarray) -> tuple[np.ndarray, float]:
    """The unit vector [3] along `vector` [3] and its length; `otherwise` if it has none."""
    length = float(np.linalg.norm(vector))
    return (vector / length, length) if length > 1e-9 else (otherwise, 1e-9)


def _draw_squares(picture: np.ndarray, pixels: np.ndarray, depth: np.ndarray, colours: np.ndarray) -> None:
    """A square for every point with a depth, the larger the nearer; of several on a pixel the nearest is seen."""
    height, width = picture.shape[:2]
    ahead = np.isfinite(depth)
    pixels, depth, colours = np.clip(pixels[ahead], -1e6, 1e6), depth[ahead], colours[ahead]
    if not len(depth):
        return
    size = COVER * np.sqrt(width * height / len(depth)) * np.median(depth)
    side = np.clip(np.round(size / depth), SMALLEST, LARGEST).astype(int)
    corner = np.floor(pixels - side[:, None] / 2 + 0.5).astype(int)
    nearest = np.full(height * width, np.inf)
    shares = []  # pixel and point of every square
    for down, right in np.ndindex(side.max(), side.max()):
        x, y = corner[:, 0] + right, corner[:, 1] + down
        inside = (side > max(down, right)) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
        point = np.flatnonzero(inside)
        shares.append((y[point] * width + x[point], point))
        np.minimum.at(nearest, shares[-1][0], depth[point])
    for pixel, point in shares:
        wins = depth[point] == nearest[pixel]
        picture.reshape(-1, 3)[pixel[wins]] = colours[point[wins]]
