"""Batches as a picture: what the model is shown, with cameras from above. What `zipmap data show` draws."""

from collections.abc import Sequence

import numpy as np

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.drawing.cameras_from_above import PATH_COLOURS, CameraPath, cameras_from_above
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits
from zipmap_pl.drawing.sheet import GAP, Row, draw_sheet
from zipmap_pl.drawing.text import BACKGROUND
from zipmap_pl.geometry.exact_cameras import invert_rigid, pixel_points, transform_points

COLUMNS = 8  # pictures side by side; more views go on below
CELL_WIDTH = 150
ABOVE_WIDTH, LEAST_ABOVE_HEIGHT = 320, 260
POINTS_PER_VIEW = 1500


def batch_sheet(batches: Sequence[Batch], title: str) -> np.ndarray:
    """RGB [H, W, 3] uint8: of each scene its views, their depth, and its cameras from above; batch below batch.

    Pictures are what the network sees: cropped, resized, with changed colours, in the order of the views. The first view
    is the reference; views of a state-query batch that are only asked for have another colour from above.
    """
    columns = min(COLUMNS, max((batch.images.shape[1] for batch in batches), default=1))
    strips = [draw_sheet([], title, columns * (CELL_WIDTH + GAP) + ABOVE_WIDTH)]
    for batch in batches:
        scenes, views, _, height, width = batch.images.shape
        strips.append(
            draw_sheet(
                [],
                f"batch {batch.number}: {scenes} scene{'s' * (scenes > 1)} of {views} views, {width} x {height} pixels",
                strips[0].shape[1] - 2 * GAP,
            )
        )
        strips += [_scene(batch, scene, columns) for scene in range(scenes)]
    return _stacked(strips)


def _scene(batch: Batch, scene: int, columns: int) -> np.ndarray:
    """One scene: views and depth on the left, cameras from above on the right."""
    pictures = np.ascontiguousarray(batch.images[scene].numpy().transpose(0, 2, 3, 1))
    depth = batch.depth[scene].numpy()
    near, far = depth_limits(list(depth))
    known = f"depth {near:.2g} to {far:.2g}, {float((depth > 0).mean()):.0%}"
    captions = [_caption(batch, scene, view) for view in range(len(pictures))]
    rows = []
    for start in range(0, len(pictures), columns):
        block = slice(start, start + columns)
        gaps = [None] * (columns - len(pictures[block]))
        rows.append(Row([*pictures[block], *gaps], "picture", captions[block]))
        if (depth > 0).any():
            rows.append(Row([*(colour_depth(one, None, near, far) for one in depth[block]), *gaps], known))
    left = draw_sheet(rows, f"{batch.dataset[scene]} / {batch.scene[scene]}", CELL_WIDTH)
    above = _above(batch, scene, pictures, depth, max(LEAST_ABOVE_HEIGHT, left.shape[0] - 2 * GAP))
    picture = np.full(
        (max(left.shape[0], above.shape[0] + 2 * GAP), left.shape[1] + ABOVE_WIDTH, 3), BACKGROUND, np.uint8
    )
    picture[: left.shape[0], : left.shape[1]] = left
    picture[GAP : GAP + above.shape[0], left.shape[1] : left.shape[1] + above.shape[1]] = above
    return picture


def _caption(batch: Batch, scene: int, view: int) -> str:
    caption = f"frame {int(batch.frames[scene, view])}"
    if batch.targets is None or batch.input_count is None:
        return caption
    asked = view in batch.targets[scene].tolist()
    roles = ["input"] * (view < batch.input_count) + ["asked"] * asked
    return f"{caption} {' + '.join(roles) or 'not used'}"


def _above(batch: Batch, scene: int, pictures: np.ndarray, depth: np.ndarray, height: int) -> np.ndarray:
    """The scene's cameras and some of its points; one path for what is shown, another one for what is only asked for."""
    poses = invert_rigid(batch.world_to_cam[scene].double().numpy())
    intrinsics = batch.intrinsics[scene].double().numpy()
    points, colours = [np.zeros((0, 3))], [np.zeros((0, 3), np.uint8)]
    for picture, layer, pose, k in zip(pictures, depth, poses, intrinsics, strict=True):
        valid = np.flatnonzero(layer.ravel() > 0)
        valid = valid[np.linspace(0, len(valid) - 1, min(len(valid), POINTS_PER_VIEW)).astype(int)]
        local = pixel_points(layer, np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])).reshape(-1, 3)[valid]
        points.append(transform_points(pose, local))
        colours.append(picture.reshape(-1, 3)[valid])
    count = len(poses) if batch.input_count is None else batch.input_count
    paths = [CameraPath(poses[:count], "views in their order", PATH_COLOURS[0])]
    hidden = [] if batch.targets is None else [view for view in batch.targets[scene].tolist() if view >= count]
    if hidden:
        paths.append(CameraPath(poses[hidden], "asked for, not shown", PATH_COLOURS[1]))
    return cameras_from_above(
        paths, np.concatenate(points), np.concatenate(colours), ABOVE_WIDTH - 2 * GAP, height, unit="units"
    )


def _stacked(strips: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures below each other."""
    width = max(strip.shape[1] for strip in strips)
    canvas = np.full((sum(strip.shape[0] for strip in strips), width, 3), BACKGROUND, np.uint8)
    top = 0
    for strip in strips:
        canvas[top : top + strip.shape[0], : strip.shape[1]] = strip
        top += strip.shape[0]
    return canvas
