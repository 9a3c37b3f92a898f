"""Depth and confidence of each view as OpenEXR (extra `exr`)."""

from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.exporters._extras import library
from zipmap_pl.inference.points import PointCloud

OpenEXR = library("OpenEXR", "exr", "exr")


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write exr/<view>.exr at the model's size: channels Z (planar depth) and confidence, float32."""
    below = folder / "exr"
    below.mkdir(exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    for stem, depth, confidence in zip(scene.stems, scene.depth, scene.confidence, strict=True):
        channels = {"Z": np.ascontiguousarray(depth), "confidence": np.ascontiguousarray(confidence)}
        with OpenEXR.File(header, channels) as file:
            file.write(str(below / f"{stem}.exr"))
    return {"depth (exr)": below}
