"""The result of a reconstruction: cameras, depth and confidence of a set of views, in one world."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zipmap_pl.geometry.exact_cameras import invert_rigid

LONGEST_STEM = 200  # bytes; file systems allow 255 for a name
FIRST_CAMERA = "the camera of the first view"
FIRST_DOWN = (0.0, 1.0, 0.0)  # its y axis


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        name: file name of its image.
        world_to_cam: [3, 4] float64, OpenCV axes: x right, y down, z forward.
        intrinsics: [3, 3] float64, pixels measured from the corner: the first pixel's center is (0.5, 0.5).
        size: height, width of its image.
    """

    name: str
    world_to_cam: np.ndarray
    intrinsics: np.ndarray
    size: tuple[int, int]


@dataclass
class Scene:
    """S views at the model's size h x w. The scale is arbitrary unless the checkpoint was trained otherwise.

    Numbers that the model gave may be non-finite; `usable` says for which views they are not.

    Attributes:
        names: file names of the views.
        images: [S, h, w, 3] uint8 RGB.
        world_to_cam: [S, 3, 4] float64 world-to-camera, OpenCV axes.
        intrinsics: [S, 3, 3] float64 at the model's size, in pixels measured from the corner.
        source_sizes: [S, 2] int, height and width of the user's own photos, upright (as their EXIF orientation says).
        source_from_model: [S, 4] float64 sx, sy, x0, y0: position x of a view is sx * x + x0 in the user's photo, in
            pixels measured from the corner; so is y. x0, y0 is the corner of the crop.
        depth: [S, h, w] float32 planar z.
        confidence: [S, h, w] float32, above 1.
        local_points: [S, h, w, 3] float32 of the point head, in each camera's own frame.
        maps: what further heads of the model predict, by the name of the field of `Prediction`: [S, h, w, ...] float32, as
            the model gives it.
        down: [3] float64, the direction in the world that viewers show as down.
        folder: of the user's photos; None for frames of a video.
        world: what the world's frame is, for people.
    """

    names: list[str]
    images: np.ndarray
    world_to_cam: np.ndarray
    intrinsics: np.ndarray
    source_sizes: np.ndarray
    source_from_model: np.ndarray
    depth: np.ndarray
    confidence: np.ndarray
    local_points: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    down: np.ndarray = field(default_factory=lambda: np.array(FIRST_DOWN))
    folder: Path | None = None
    world: str = FIRST_CAMERA

    @property
    def source_intrinsics(self) -> np.ndarray:
        """[S, 3, 3] float64 at the size of the user's own photos, crop and scaling undone."""
        back = np.zeros((len(self.names), 3, 3))
        back[:, [0, 1], [0, 1]] = self.source_from_model[:, :2]
        back[:, :2, 2] = self.source_from_model[:, 2:]
        back[:, 2, 2] = 1
        return back @ self.intrinsics

    @property
    def kept(self) -> np.ndarray:
        """[S] float64, the share of each photo's area that the model has seen, at most 1."""
        seen = np.prod(self.source_from_model[:, :2], axis=1) * np.prod(self.depth.shape[1:])
        return np.minimum(seen / np.prod(self.source_sizes, axis=1), 1.0)

    @property
    def usable(self) -> np.ndarray:
        """[S] bool: the view has a finite camera and some finite depth."""
        cameras = np.isfinite(self.world_to_cam).all((1, 2)) & np.isfinite(self.intrinsics).all((1, 2))
        return cameras & np.isfinite(self.depth).any((1, 2))

    @property
    def stems(self) -> list[str]:
        """File names of the views without a suffix: the number of the view, then its own name, cut to what fits with a suffix."""
        return [f"{number:06d}-{_shortened(Path(name).stem)}" for number, name in enumerate(self.names)]

    @property
    def cam_to_world(self) -> np.ndarray:
        """[S, 4, 4] float64."""
        result = np.tile(np.eye(4), (len(self.names), 1, 1))
        result[:, :3] = invert_rigid(self.world_to_cam)
        return result

    @property
    def cameras(self) -> list[Camera]:
        """The cameras of the user's own photos, crop and scaling undone."""
        intrinsics = self.source_intrinsics
        return [
            Camera(
                name, self.world_to_cam[i], intrinsics[i], (int(self.source_sizes[i, 0]), int(self.source_sizes[i, 1]))
            )
            for i, name in enumerate(self.names)
        ]

    @property
    def model_cameras(self) -> list[Camera]:
        """The cameras of `images` and `depth`, at the model's size."""
        size = (self.depth.shape[1], self.depth.shape[2])
        return [Camera(name, self.world_to_cam[i], self.intrinsics[i], size) for i, name in enumerate(self.names)]


def _shortened(name: str) -> str:
    """The name, or as much of its beginning as has `LONGEST_STEM` bytes."""
    while len(os.fsencode(name)) > LONGEST_STEM:
        name = name[:-1]
    return name
