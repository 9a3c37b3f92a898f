"""Depth of each view as numbers, as 16-bit PNG and as an image for people."""

import json
from pathlib import Path

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits
from zipmap_pl.inference.exporters._npy import write_npy
from zipmap_pl.inference.exporters._png import step_of, write_16bit, write_png
from zipmap_pl.inference.points import PointCloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write planar z at the model's size.

    depth/<view>.npy: float32. depth/<view>.png: colors on one scale for all views. depth16/<view>.png: 16-bit gray,
    depth = step * value with the step in depth16/scale.json; 0 = not finite, or too far for the scale.
    """
    below, below_16 = folder / "depth", folder / "depth16"
    below.mkdir(exist_ok=True)
    below_16.mkdir(exist_ok=True)
    near, far = depth_limits(list(scene.depth))
    step = step_of(list(scene.depth))
    for stem, depth in zip(scene.stems, scene.depth, strict=True):
        write_npy(below / f"{stem}.npy", depth)
        write_png(below / f"{stem}.png", colour_depth(depth, None, near, far))
        write_16bit(below_16 / f"{stem}.png", depth, step)
    (below_16 / "scale.json").write_text(json.dumps({"step": step}) + "\n")
    return {"depth": below, "depth (16 bit)": below_16}
