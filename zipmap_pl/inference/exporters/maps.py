"""Maps of further heads as numbers: a folder for each, and none for a model without such heads."""

from pathlib import Path

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.exporters._npy import write_npy
from zipmap_pl.inference.points import PointCloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write <map>/<view>.npy, float32 at the model's size, for every map of `scene.maps`."""
    for name, maps in scene.maps.items():
        (folder / name).mkdir(exist_ok=True)
        for stem, values in zip(scene.stems, maps, strict=True):
            write_npy(folder / name / f"{stem}.npy", values)
    return {name: folder / name for name in scene.maps}
