"""The projection, image size and unit of each scene of Hypersim, from its csv files."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import AXES
from zipmap_pl.preprocess.convert.tilt_shift import PinholeView, depth_of_distance, pinhole_view, raw_places
from zipmap_pl.preprocess.formats.sources import Source, exists, join
from zipmap_pl.preprocess.formats.tables import number_of, read_csv
from zipmap_pl.preprocess.raw import RawFault

SIGNS = AXES["opengl"].diagonal()  # of OpenCV's axes in the raw camera's


@dataclass(frozen=True)
class HypersimProjection:
    """The camera of a scene: its projection, which may be tilted or shifted, and what it becomes.

    Attributes:
        height, width: of the raw pictures.
        metres_per_unit: of the camera's positions.
        view: the pinhole camera that is written.
    """

    height: int
    width: int
    metres_per_unit: float
    view: PinholeView

    @cached_property
    def depth_of_distance(self) -> np.ndarray:
        """[H, W] float64, what makes planar depth of distance."""
        return depth_of_distance(self.view.raw_projection, self.height, self.width)

    @cached_property
    def raw_places(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows [H, W] of the pixels that are written, in the raw picture."""
        return raw_places(self.view)


@lru_cache(maxsize=2)
def projection_of(file: Path, folder: Source, scene: str) -> HypersimProjection:
    """From a scene's row in metadata_camera_parameters.csv, and its folder."""
    row = _rows(file).get(scene)
    if row is None:
        raise RawFault(file, f"no row for {scene}")

    def number(column: str, low: float = -math.inf, high: float = math.inf) -> float:
        return number_of(file, f"{column} of {scene}", row.get(column), low, high)

    # The rows of depth are left out: columns, rows and the divisor in the picture from -1 to 1, x right, y up.
    clip = np.array([[number(f"M_proj_{i}{j}") for j in range(3)] for i in (0, 1, 3)])
    height, width = (int(number(f"settings_output_img_{side}", 1, 1 << 14)) for side in ("height", "width"))
    pixels = np.array(((width / 2, 0.0, width / 2), (0.0, -height / 2, height / 2), (0.0, 0.0, 1.0)))
    try:
        view = pinhole_view(cameras.multiply(pixels, clip * SIGNS), height, width)
    except ValueError as error:
        raise RawFault(file, f"M_proj of {scene}: {error}") from error
    return HypersimProjection(
        height, width, _metres_per_unit(folder, number("settings_units_info_meters_scale", 1e-9)), view
    )


def _metres_per_unit(folder: Source, otherwise: float) -> float:
    """What the scene's own folder says, if it says anything."""
    file = join(folder, "_detail/metadata_scene.csv")
    if not exists(file):
        return otherwise
    values = {
        row["parameter_name"]: row["parameter_value"] for row in read_csv(file, "parameter_name", "parameter_value")
    }
    return number_of(file, "meters_per_asset_unit", values.get("meters_per_asset_unit"), 1e-9)


@lru_cache(maxsize=1)
def _rows(file: Path) -> dict[str, dict[str, str]]:
    return {row["scene_name"]: row for row in read_csv(file, "scene_name")}
