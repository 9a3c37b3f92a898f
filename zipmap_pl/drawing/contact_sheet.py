"""A contact sheet of one scene in shards: what `zipmap shards show` draws."""

from pathlib import Path

import cv2
import numpy as np

from zipmap_pl.datasets.cameras import invert_rigid, pixel_points, transform_points
from zipmap_pl.datasets.depth_coding import read_depth, read_png
from zipmap_pl.datasets.schema import UNIT_FROM_CAMERAS, UNIT_FROM_DEPTH, UNIT_IS_ONE
from zipmap_pl.datasets.shard_index import DamagedShard, ShardIndex
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits, depth_scale
from zipmap_pl.drawing.sheet import GAP, Row, draw_sheet
from zipmap_pl.drawing.text import BACKGROUND
from zipmap_pl.errors import UserError

COLUMNS = 8  # pictures side by side; more frames go on below
CELL_WIDTH = 168
ABOVE_HEIGHT = 400  # of the cameras from above
MIN_WIDTH = 700  # of the sheet, however few frames there are
DYNAMIC_COLOUR, SKY_COLOUR = (235, 40, 160), (60, 170, 240)
POINTS_PER_FRAME = 2500  # of the points drawn from above
UNIT_SOURCES = {
    UNIT_FROM_DEPTH: "median depth",
    UNIT_FROM_CAMERAS: "median distance of neighbouring cameras",
    UNIT_IS_ONE: "no depth and no motion",
}


def contact_sheet(dataset_folder: str | Path, scene: str | int | None = None, frames: int = 8) -> np.ndarray:
    """Draw evenly spaced frames of a scene: pictures, depth in colour, masks, and all its cameras from above.

    Args:
        dataset_folder: a complete dataset in shards.
        scene: name or number of the scene; None = the first one that has frames.
        frames: how many frames to draw, fewer if the scene has fewer.

    Returns:
        RGB [H, W, 3] uint8.

    Raises:
        UserError: no such dataset or scene, nothing to draw, or a damaged shard.
    """
    index = ShardIndex.open(dataset_folder)
    number = _scene_number(index, scene)
    rows = np.array(index.scene_rows(number))
    if not len(rows):
        raise UserError(f"{index.folder}: all frames of scene {index.text('scene.name', number)!r} are faulty")
    if frames < 1:
        raise UserError(f"{frames} frames asked for; give 1 or more")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(frames, len(rows))).round().astype(int))]
    views = [_View(index, int(row)) for row in chosen]
    near, far = depth_limits([view.depth for view in views])
    unit, unit_name = _metres(index, number)
    blocks = [views[start : start + COLUMNS] for start in range(0, len(views), COLUMNS)]
    rows_drawn = [row for block in blocks for row in _rows(block, near, far)]
    strips = [draw_sheet(rows_drawn, _title(index, number, views), max(CELL_WIDTH, MIN_WIDTH // len(blocks[0])))]
    if any((view.depth > 0).any() for view in views):
        strips.append(depth_scale(near * unit, far * unit, unit_name))
    strips.append(_from_above(index, rows, views, unit, unit_name, strips[0].shape[1] - 2 * GAP))
    return _stacked(strips)


class _View:
    """One decoded frame."""

    def __init__(self, index: ShardIndex, row: int) -> None:
        data = index.read_part(row, "image")
        image = None if data is None else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise DamagedShard(f"{index.folder}: sample {index.sample_name(row)}: its picture cannot be decoded")
        self.name = index.text("frame.name", row)
        self.image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        self.size = self.image.shape[:2]
        self.depth, self.sky = np.zeros(self.size, np.float32), np.zeros(self.size, bool)
        depth, dynamic = index.read_part(row, "depth"), index.read_part(row, "dynamic")
        if depth is not None:
            self.depth, self.sky = read_depth(depth, index["frame.depth_range"][row])
        self.dynamic = np.zeros(self.size, bool) if dynamic is None else read_png(dynamic) > 0
        self.cam_to_world = invert_rigid(index["frame.world_to_cam"][row])
        self.intrinsics = index["frame.intrinsics"][row]

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """World points [P, 3] of some valid pixels and their colours [P, 3] uint8."""
        valid = np.flatnonzero(self.depth.ravel() > 0)
        valid = valid[np.linspace(0, len(valid) - 1, min(len(valid), POINTS_PER_FRAME)).astype(int)]
        local = pixel_points(self.depth, self.intrinsics).reshape(-1, 3)[valid]
        return transform_points(self.cam_to_world, local), self.image.reshape(-1, 3)[valid]


def _scene_number(index: ShardIndex, scene: str | int | None) -> int:
    if scene is None:
        full = np.flatnonzero(index["scene.frame_count"])
        if not len(full):
            raise UserError(f"{index.folder}: holds no frames")
        return int(full[0])
    for number in range(index.scene_count):
        if index.text("scene.name", number) == str(scene):
            return number
    if str(scene).isdecimal() and int(scene) < index.scene_count:
        return int(scene)
    some = ", ".join(index.text("scene.name", k) for k in range(min(3, index.scene_count)))
    raise UserError(
        f"{index.folder}: no scene {scene!r}; give a name ({some}, ...) or a number below {index.scene_count}"
    )


def _metres(index: ShardIndex, scene: int) -> tuple[float, str]:
    """Factor to metres and "m", or 1 and "units" where the dataset is not metric."""
    metres = float(index["scene.metres_per_unit"][scene])
    return (metres, "m") if np.isfinite(metres) else (1.0, "units")


def _title(index: ShardIndex, scene: int, views: list[_View]) -> str:
    height, width = views[0].size
    source = UNIT_SOURCES[int(index["scene.unit_source"][scene])]
    rows = np.array(index.scene_rows(scene))
    valid = float(index["frame.valid_share"][rows].mean())
    unit, name = _metres(index, scene)
    length = f"{unit:.3g} m" if name == "m" else f"{float(index['scene.unit'][scene]):.3g} raw units"
    dataset = index.info.get("slug", index.folder.name)
    split = index.splits[int(index["scene.split"][scene])]
    return (
        f"{dataset} / {split} / {index.text('scene.name', scene)}\n"
        f"{len(views)} of {len(rows)} frames, {width} x {height} pixels; 1 unit = {length} ({source});"
        f" depth known in {valid:.0%} of the pixels"
    )


def _rows(views: list[_View], near: float, far: float) -> list[Row]:
    rows = [Row([view.image for view in views], "picture", [view.name for view in views])]
    if any((view.depth > 0).any() for view in views):
        rows.append(Row([colour_depth(view.depth, None, near, far) for view in views], "depth"))
    marks = [
        word
        for word, attribute in (("moving", "dynamic"), ("sky", "sky"))
        if any(getattr(v, attribute).any() for v in views)
    ]
    if marks:
        captions = [_mark_caption(view, marks) for view in views]
        rows.append(Row([_marked(view) for view in views], ", ".join(marks), captions))
    return rows


def _marked(view: _View) -> np.ndarray:
    """The picture in pale grey with moving objects and sky in colour."""
    grey = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)[..., None]
    picture = np.repeat(128 + grey // 2, 3, axis=2)
    for mask, colour in ((view.sky, SKY_COLOUR), (view.dynamic, DYNAMIC_COLOUR)):
        picture[mask] = (0.35 * picture[mask] + 0.65 * np.array(colour)).astype(np.uint8)
    return picture


def _mark_caption(view: _View, marks: list[str]) -> str:
    shares = {"moving": view.dynamic.mean(), "sky": view.sky.mean()}
    return ", ".join(f"{mark} {shares[mark]:.0%}" for mark in marks)


def _from_above(
    index: ShardIndex, rows: np.ndarray, views: list[_View], unit: float, unit_name: str, width: int
) -> np.ndarray:
    poses = invert_rigid(index["frame.world_to_cam"][rows])
    poses[..., 3] *= unit
    points, colours = zip(*(view.points() for view in views), strict=True)
    return cameras_from_above(
        [CameraPath(poses, f"cameras of all {len(rows)} frames, from above")],
        unit * np.concatenate(points),
        np.concatenate(colours),
        width,
        ABOVE_HEIGHT,
        unit=unit_name,
    )


def _stacked(strips: list[np.ndarray]) -> np.ndarray:
    """Pictures below each other, all but the first one (a sheet, which has its own margin) indented."""
    lefts = [0] + [GAP] * (len(strips) - 1)
    width = max(left + strip.shape[1] + GAP for left, strip in zip(lefts, strips, strict=True)) - GAP
    canvas = np.full((sum(strip.shape[0] + GAP for strip in strips), width, 3), BACKGROUND, np.uint8)
    top = 0
    for left, strip in zip(lefts, strips, strict=True):
        canvas[top : top + strip.shape[0], left : left + strip.shape[1]] = strip
        top += strip.shape[0] + GAP
    return canvas
