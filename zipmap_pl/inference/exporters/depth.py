"""Depth of each view as numbers and as an image."""

from pathlib import Path

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits
from zipmap_pl.inference.exporters._npy import write_npy
from zipmap_pl.inference.exporters._png import write_png
from zipmap_pl.inference.points import PointCloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write depth/<view>.npy (float32 planar z at the model's size) and depth/<view>.png (colors on one scale for all views)."""
    below = folder / "depth"
    below.mkdir(exist_ok=True)
    near, far = depth_limits(list(scene.depth))
    for stem, depth in zip(scene.stems, scene.depth, strict=True):
        write_npy(below / f"{stem}.npy", depth)
        write_png(below / f"{stem}.png", colour_depth(depth, None, near, far))
    return {"depth": below}
