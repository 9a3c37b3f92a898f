"""Depth and confidence at the size of the user's own photos, as 16-bit PNG."""

import json
from pathlib import Path

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.exporters._png import WHITE, step_of, write_16bit
from zipmap_pl.inference.photo_maps import photo_maps
from zipmap_pl.inference.points import PointCloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write photo_depth/<view>.depth.png and photo_depth/<view>.confidence.png: 16-bit gray, pixel by pixel of the photo.

    Number = step * value with the steps in photo_depth/scale.json. 0 = outside the crop, unknown, or too far for the scale;
    too large a confidence is cut off.
    """
    below = folder / "photo_depth"
    below.mkdir(exist_ok=True)
    steps = {"depth": step_of(list(scene.depth)), "confidence": step_of(list(scene.confidence))}
    for view, stem in enumerate(scene.stems):
        depth, confidence = photo_maps(scene, view)
        write_16bit(below / f"{stem}.depth.png", depth, steps["depth"])
        write_16bit(below / f"{stem}.confidence.png", confidence, steps["confidence"], beyond=WHITE)
    (below / "scale.json").write_text(json.dumps({"step": steps}) + "\n")
    return {"photo depth": below}
