"""Cameras that are right up to one similarity, brought to those that are known."""

from dataclasses import dataclass

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry.exact_cameras import invert_rigid


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation x + translation of one world to another: a number, [3, 3], [3]."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def moved(self, world_to_cam: np.ndarray) -> np.ndarray:
        """Cameras [..., 3, 4] of the one world in the other."""
        rotation = world_to_cam[..., :3] @ self.rotation.T
        return np.concatenate(
            [rotation, self.scale * world_to_cam[..., 3:] - rotation @ self.translation[:, None]], axis=-1
        )


def align_cameras(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that brings world-to-camera [S, 3, 4] to target [S, 3 or 4, 4], over the views where both are finite.

    The rotation is the mean of what the cameras' own rotations say, so two cameras are enough, and those on a line; scale
    and translation are least squares over their centers.

    Raises:
        ValueError: the shapes are others.
        UserError: fewer than two views can be used, or the cameras of one world all stand at one place.
    """
    if target.shape not in ((len(source), 3, 4), (len(source), 4, 4)):
        raise ValueError(f"poses are {list(target.shape)}, expected world_to_cam [{len(source)}, 3, 4] of all views")
    both = np.isfinite(source).all((1, 2)) & np.isfinite(target).all((1, 2))
    if both.sum() < 2:
        raise UserError(f"align_to: found {both.sum()} views with two finite cameras, expected 2 or more")
    source, target = source[both], np.asarray(target, np.float64)[both, :3]
    u, _, vt = np.linalg.svd((target[:, :, :3].transpose(0, 2, 1) @ source[:, :, :3]).sum(axis=0))
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    centers, targets = invert_rigid(source)[:, :, 3] @ rotation.T, invert_rigid(target)[:, :, 3]
    spread, wanted = centers - centers.mean(axis=0), targets - targets.mean(axis=0)
    norm = float((spread**2).sum())
    scale = float((spread * wanted).sum()) / norm if norm > 0 else 0.0
    if not scale > 0:
        raise UserError("align_to: the cameras of both worlds do not stand alike, or all at one place; no scale fits")
    return Similarity(scale, rotation, targets.mean(axis=0) - scale * centers.mean(axis=0))
