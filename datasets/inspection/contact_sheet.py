"""A contact sheet of one scene in shards: what `zipmap shards show` draws."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from zipmap_pl.datasets.format.frame_reader import Frame, FrameReader
from zipmap_pl.datasets.format.index_check import open_checked
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.cloud import draw_cloud
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits, depth_scale
from zipmap_pl.drawing.sheet import GAP, Row, draw_sheet
from zipmap_pl.drawing.text import BACKGROUND
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.exact_cameras import invert_rigid, pixel_points, transform_points

COLUMNS = 8  # pictures side by side; more frames go on below
CELL_WIDTH = 168
ABOVE_HEIGHT = 400  # of the cameras from above, and of the points beside them
MIN_WIDTH = 700  # of the sheet, however few frames there are
DYNAMIC_COLOUR, OBJECT_COLOUR, SKY_COLOUR = (235, 40, 160), (250, 190, 40), (60, 170, 240)
NAMED_SIZES = 3
POINTS_PER_FRAME = 10_000  # of the points drawn


def contact_sheet(dataset_folder: str | Path, scene: str | int | None = None, frames: int = 8) -> np.ndarray:
    """Draw evenly spaced frames of a scene: pictures, depth in colour, masks, all its cameras from above, its points.

    Args:
        dataset_folder: a complete dataset in shards.
        scene: name or number of the scene; None = the first one that has frames.
        frames: how many frames to draw, fewer if the scene has fewer.

    Returns:
        RGB [H, W, 3] uint8.

    Raises:
        UserError: no such dataset or scene, nothing to draw, or a damaged shard.
    """
    index = open_checked(dataset_folder)
    number = _scene_number(index, scene)
    rows = np.array(index.scene_rows(number))
    if not len(rows):
        raise UserError(f"{index.folder}: all frames of scene {index.text('scene.name', number)!r} are faulty")
    if frames < 1:
        raise UserError(f"{frames} frames asked for; give 1 or more")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(frames, len(rows))).round().astype(int))]
    reader = FrameReader(index)
    views = [_View(index.text("frame.name", row), reader.read(row)) for row in chosen.tolist()]
    near, far = depth_limits([view.frame.depth for view in views])
    unit, unit_name = index.metres(number)
    blocks = [views[start : start + COLUMNS] for start in range(0, len(views), COLUMNS)]
    rows_drawn = [row for block in blocks for row in _rows(block, near, far)]
    strips = [draw_sheet(rows_drawn, _title(index, number, views), max(CELL_WIDTH, MIN_WIDTH // len(blocks[0])))]
    if any((view.frame.depth > 0).any() for view in views):
        strips.append(depth_scale(near * unit, far * unit, unit_name))
    strips.append(_cameras_and_points(index, rows, views, unit, unit_name, strips[0].shape[1] - 2 * GAP))
    return _stacked(strips)


@dataclass(frozen=True)
class _View:
    """A frame and its name."""

    name: str
    frame: Frame

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """World points [P, 3] of some valid pixels and their colours [P, 3] uint8."""
        frame = self.frame
        valid = np.flatnonzero(frame.depth.ravel() > 0)
        valid = valid[np.linspace(0, len(valid) - 1, min(len(valid), POINTS_PER_FRAME)).astype(int)]
        local = pixel_points(frame.depth, frame.intrinsics).reshape(-1, 3)[valid]
        return transform_points(invert_rigid(frame.world_to_cam), local), frame.image.reshape(-1, 3)[valid]

    def masks(self) -> dict[str, tuple[np.ndarray, tuple[int, int, int]]]:
        """Masks [H, W] bool by name, with their colours, in the order in which they are drawn."""
        frame, nowhere = self.frame, np.zeros_like(self.frame.sky)
        return {
            "sky": (frame.sky, SKY_COLOUR),
            "moving": (nowhere if frame.dynamic is None else frame.dynamic, DYNAMIC_COLOUR),
            "object": (nowhere if frame.object is None else frame.object, OBJECT_COLOUR),
        }


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


def _title(index: ShardIndex, scene: int, views: list[_View]) -> str:
    sizes = list(dict.fromkeys(f"{w} x {h}" for h, w in (view.frame.depth.shape for view in views)))
    size = ", ".join(sizes[:NAMED_SIZES]) + ", ..." * (len(sizes) > NAMED_SIZES)
    rows = np.array(index.scene_rows(scene))
    valid = float(index["frame.valid_share"][rows].mean())
    split, name = index.splits[int(index["scene.split"][scene])], index.text("scene.name", scene)
    passed_over = sum(len(scenes.get(name, ())) for scenes in index.info.get("passed_over", {}).values())
    besides = f" ({passed_over} more were passed over)" if passed_over else ""
    return (
        f"{index.info['slug']} / {split} / {name}\n"
        f"{len(views)} of {len(rows)} frames{besides}, {size} pixels; 1 unit = {index.unit_text(scene)};"
        f" depth known in {valid:.0%} of the pixels"
    )


def _rows(views: list[_View], near: float, far: float) -> list[Row]:
    frames = [view.frame for view in views]
    rows = [Row([frame.image for frame in frames], "picture", [view.name for view in views])]
    if any((frame.depth > 0).any() for frame in frames):
        rows.append(Row([colour_depth(frame.depth, None, near, far) for frame in frames], "depth"))
    masks = [view.masks() for view in views]
    marks = [name for name in masks[0] if any(found[name][0].any() for found in masks)]
    if marks:
        captions = [", ".join(f"{name} {found[name][0].mean():.0%}" for name in marks) for found in masks]
        rows.append(Row([_marked(view) for view in views], ", ".join(marks), captions))
    return rows


def _marked(view: _View) -> np.ndarray:
    """The picture in pale grey with moving objects and sky in colour."""
    grey = cv2.cvtColor(view.frame.image, cv2.COLOR_RGB2GRAY)[..., None]
    picture = np.repeat(128 + grey // 2, 3, axis=2)
    for mask, colour in view.masks().values():
        picture[mask] = (0.35 * picture[mask] + 0.65 * np.array(colour)).astype(np.uint8)
    return picture


def _cameras_and_points(
    index: ShardIndex, rows: np.ndarray, views: list[_View], unit: float, unit_name: str, width: int
) -> np.ndarray:
    """All cameras from above, and beside them the points of some frames as somebody behind the cameras sees them."""
    poses = invert_rigid(index["frame.world_to_cam"][rows])
    poses[..., 3] *= unit
    points, colours = (np.concatenate(parts) for parts in zip(*(view.points() for view in views), strict=True))
    path = [CameraPath(poses, f"cameras of all {len(rows)} frames, from above")]
    if not len(points):
        return cameras_from_above(path, width=width, height=ABOVE_HEIGHT, unit=unit_name)
    half = (width - GAP) // 2
    above = cameras_from_above(path, unit * points, colours, half, ABOVE_HEIGHT, unit_name)
    cloud = draw_cloud(unit * points, colours, poses, width - GAP - half, ABOVE_HEIGHT)
    gap = np.full((ABOVE_HEIGHT, GAP, 3), BACKGROUND, np.uint8)
    return np.concatenate([above, gap, cloud], axis=1)


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
