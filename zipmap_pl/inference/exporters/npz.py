"""Everything in one file for numpy."""

from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.points import PointCloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write scene.npz, not compressed, without pickles; docs/reconstruct.md says what each array is."""
    path = folder / "scene.npz"
    np.savez(path, allow_pickle=False, **arrays(scene, cloud))
    return {"scene (npz)": path}


def arrays(scene: Scene, cloud: PointCloud) -> dict[str, np.ndarray]:
    """The arrays of the file by name."""
    return {
        "names": np.array(scene.names),
        "images": scene.images,
        "world_to_cam": scene.world_to_cam,
        "intrinsics": scene.intrinsics,
        "photo_intrinsics": scene.source_intrinsics,
        "photo_sizes": scene.source_sizes,
        "photo_from_model": scene.source_from_model,
        "kept": scene.kept,
        "depth": scene.depth,
        "confidence": scene.confidence,
        "local_points": scene.local_points,
        "down": scene.down,
        "points": cloud.points,
        "colors": cloud.colors,
        "point_confidence": cloud.confidence,
        "point_views": cloud.views,
        "point_pixels": cloud.pixels,
    } | {f"map_{name}": values for name, values in scene.maps.items()}
