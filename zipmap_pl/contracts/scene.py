"""The result of a reconstruction: cameras, depth and points of a set of views, in the frame of the first one."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zipmap_pl.geometry.exact_cameras import invert_rigid


@dataclass
class Scene:
    """S views at the model's size h x w. The scale is arbitrary unless the checkpoint was trained otherwise.

    Numbers that the model gave may be non-finite; `usable` says for which views they are not.

    Attributes:
        names: file names of the views.
        images: [S, h, w, 3] uint8 RGB.
        world_to_cam: [S, 3, 4] float64 world-to-camera, OpenCV axes; the world is the camera of view 0.
        intrinsics: [S, 3, 3] float64 at the model's size, in pixels measured from the corner.
        source_intrinsics: [S, 3, 3] float64 at the size of the user's own pictures, crop and scaling undone.
        source_sizes: [S, 2] int, height and width of the user's own pictures.
        depth: [S, h, w] float32 planar z.
        confidence: [S, h, w] float32, above 1.
        points: [S, h, w, 3] float32, `depth` unprojected to the world.
        maps: what further heads of the model predict, by the name of the field of `Prediction`: [S, h, w, ...] float32, as
            the model gives it.
    """

    names: list[str]
    images: np.ndarray
    world_to_cam: np.ndarray
    intrinsics: np.ndarray
    source_intrinsics: np.ndarray
    source_sizes: np.ndarray
    depth: np.ndarray
    confidence: np.ndarray
    points: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def usable(self) -> np.ndarray:
        """[S] bool: the view has a finite camera and some finite point."""
        cameras = np.isfinite(self.world_to_cam).all((1, 2)) & np.isfinite(self.source_intrinsics).all((1, 2))
        return cameras & np.isfinite(self.points).all(-1).any((1, 2))

    @property
    def stems(self) -> list[str]:
        """File names of the views without a suffix: the number of the view, then its own name."""
        return [f"{number:06d}-{Path(name).stem}" for number, name in enumerate(self.names)]

    @property
    def cam_to_world(self) -> np.ndarray:
        """[S, 4, 4] float64."""
        result = np.tile(np.eye(4), (len(self.names), 1, 1))
        result[:, :3] = invert_rigid(self.world_to_cam)
        return result
