"""One lens for all photos that one camera took."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from zipmap_pl.contracts.scene import Scene

AnyScene = TypeVar("AnyScene", bound=Scene)


def share_cameras(scene: AnyScene) -> AnyScene:
    """The scene with the same intrinsics for all photos of one size: the median focal lengths of those with finite cameras.

    Points made from depth move along with them, so they stay on their pixels.
    """
    intrinsics = scene.intrinsics.copy()
    for size in np.unique(scene.source_sizes, axis=0):
        group = (scene.source_sizes == size).all(axis=1) & np.isfinite(intrinsics).all((1, 2))
        if group.any():
            intrinsics[group] = np.median(intrinsics[group], axis=0)
    return replace(scene, intrinsics=intrinsics)
