"""One image of the result: some views, their depth, the cameras from above, the points."""

from pathlib import Path

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.cloud import draw_cloud
from zipmap_pl.drawing.depth_colours import colour_depth, depth_key, depth_limits
from zipmap_pl.drawing.sheet import GAP, TEXT_HEIGHT, Row, draw_sheet
from zipmap_pl.inference.exporters._png import write_png
from zipmap_pl.inference.points import PointChoice, PointCloud, choose_points

VIEWS, WIDTH = 6, 180  # images next to each other, and pixels of each
CHOICE = PointChoice(
    confidence_percentile=30.0, max_points=200_000
)  # of this image, whatever is asked of the point cloud


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write preview.png."""
    path = folder / "preview.png"
    write_png(path, _preview(scene))
    return {"preview": path}


def _preview(scene: Scene) -> np.ndarray:
    """[H, W, 3] uint8."""
    chosen = np.unique(np.linspace(0, len(scene.names) - 1, VIEWS).round().astype(int))
    near, far = depth_limits(list(scene.depth[chosen]))
    depths = [colour_depth(depth, None, near, far) for depth in scene.depth[chosen]]
    cloud = choose_points(scene, CHOICE)
    span = max(2, len(chosen) // 2)
    width = span * (WIDTH + GAP) - GAP
    height = round(0.62 * width)
    path = [CameraPath(scene.cam_to_world, "cameras, from above")]
    above = cameras_from_above(path, cloud.points, cloud.colors, width, height)
    seen = draw_cloud(cloud.points, cloud.colors, scene.cam_to_world, width, height)
    return draw_sheet(
        [
            Row(list(scene.images[chosen]), "picture", [scene.names[i] for i in chosen]),
            Row(depths, "depth", key=depth_key(near, far, TEXT_HEIGHT)),
            Row([above, seen], "points", span=span),
        ],
        cell_width=WIDTH,
    )
