"""Pictures that tell how training goes: depth, its error and confidence, camera paths from above, queried views, points."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.depth_colours import colour_depth, colour_values, depth_key, depth_limits, values_key
from zipmap_pl.drawing.sheet import GAP, Row, draw_sheet
from zipmap_pl.geometry.alignment import median_scale
from zipmap_pl.geometry.pose_encoding import decode_pose, decode_world_to_cam
from zipmap_pl.geometry.projection import unproject_to_world
from zipmap_pl.geometry.rigid import invert_rigid, relative_to_first

MAX_VIEWS, MIN_COLUMNS = 4, 2
# TensorBoard shows a panel about 350 pixels wide, half the size of four views: what is to be read there must be large.
VIEW_WIDTH, TEXT_HEIGHT, ABOVE_HEIGHT = 180, 20, 400
MAX_POINTS = 20_000
LARGEST_ERROR = 0.3  # relative; all above looks alike
LEAST_CONFIDENT = 0.2  # share of the pixels that the cloud leaves out
TRUE_COLOUR, PREDICTED_COLOUR = (30, 140, 60), (220, 60, 40)


@torch.no_grad()
def image_panel(batch: Batch, prediction: Prediction, title: str) -> np.ndarray:
    """Draw the input views of the first scene of a batch, [H, W, 3] uint8.

    Predicted depth and camera path are brought to the true scale by the ratio of the median valid depths. Cameras that
    are not finite are left out. Of more than four views the first four are shown, and the cameras of all, joined in
    the order of their frames.
    """
    batch = batch.inputs()
    mask = batch.mask[0]
    depth, predicted = batch.depth[0], prediction.depth[0, ..., 0].float()
    scale = _scale(batch, prediction)
    in_time = batch.frames[0].argsort()
    paths = [
        CameraPath(_cam_to_world(world_to_cam, unit)[in_time.cpu().numpy()], label, colour)
        for world_to_cam, unit, label, colour in (
            (batch.world_to_cam[0], 1.0, "true", TRUE_COLOUR),
            (decode_world_to_cam(prediction.pose_enc[0].float()), scale, "predicted", PREDICTED_COLOUR),
        )
    ]
    photos = _photos(batch.images[0])
    columns = max(len(photos), MIN_COLUMNS)
    width = columns * (VIEW_WIDTH + GAP) - GAP
    above = cameras_from_above(paths, width=width, height=ABOVE_HEIGHT, text_height=TEXT_HEIGHT)
    return _sheet(
        [
            Row(photos, "input"),
            *_depth_rows(depth, predicted * scale, mask, prediction.depth_conf[0].float()),
            Row([above], "cameras from above", span=columns),
        ],
        title,
    )


@torch.no_grad()
def query_panel(batch: Batch, prediction: Prediction, title: str) -> np.ndarray:
    """Draw what the first scene of a state-query batch looks like along the target rays, and what it was said to look like.

    [H, W, 3] uint8. Depth is in the scale of the input views, as in `image_panel`.
    """
    if prediction.nvs_pred is None or prediction.nvs_depth_conf is None:
        raise ValueError("the prediction has no queried views, expected the model to be called with target_rays")
    targets, said = batch.target_views(), prediction.nvs_pred[0].float()
    pictures, truth = said[..., :3].movedim(-1, 1), targets.images[0]
    noise = (pictures - truth).square().mean((1, 2, 3)).clamp(min=1e-10)
    captions = [f"{float(-10 * error.log10()):.1f} dB" for error in noise[:MAX_VIEWS]]
    depth = said[..., 3] * _scale(batch.inputs(), prediction)
    return _sheet(
        [
            Row(_photos(truth), "target"),
            Row(_photos(pictures), "predicted", captions),
            *_depth_rows(targets.depth[0], depth, targets.mask[0], prediction.nvs_depth_conf[0].float()),
        ],
        title,
    )


@torch.no_grad()
def predicted_cloud(batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Points [P, 3] and colours [P, 3] uint8 of the first scene, from its depth and cameras; at most 20,000.

    The world is the first camera with y up and z backward, as viewers have it; the median distance is 1. The least
    confident fifth is left out, and what is not finite.
    """
    batch = batch.inputs()
    height, width = batch.images.shape[-2:]
    world_to_cam, intrinsics = decode_pose(prediction.pose_enc[0].float(), height, width)
    depth, confidence = prediction.depth[0, ..., 0].float(), prediction.depth_conf[0].float()
    points = unproject_to_world(depth, intrinsics, relative_to_first(world_to_cam))
    keep = (
        (points.isfinite().all(-1) & (confidence >= _quantile(confidence, LEAST_CONFIDENT))).flatten().nonzero()[:, 0]
    )
    count = min(MAX_POINTS, len(keep))
    keep = keep[torch.arange(count, device=keep.device) * len(keep) // max(count, 1)]
    points = points.reshape(-1, 3)[keep] * torch.tensor([1.0, -1.0, -1.0], device=points.device)
    if count:
        points = points / points.norm(dim=-1).median().clamp(min=1e-6)
    colours = (batch.images[0].movedim(1, -1).reshape(-1, 3)[keep].float() * 255).round().byte()
    return points.cpu(), colours.cpu()


def _sheet(rows: list[Row], title: str) -> np.ndarray:
    """Labels, keys and title have room above the pictures, however few these are."""
    rows = [
        replace(row, pictures=[*row.pictures, *[None] * (MIN_COLUMNS - len(row.pictures) * row.span)]) for row in rows
    ]
    return draw_sheet(rows, title, VIEW_WIDTH, TEXT_HEIGHT, labels_above=True)


def _depth_rows(depth: Tensor, predicted: Tensor, mask: Tensor, confidence: Tensor) -> list[Row]:
    """True and predicted depth, error and confidence of maps [S, H, W], each kind in colours of its own."""
    views = range(min(len(mask), MAX_VIEWS))
    error = (predicted - depth).abs() / depth.masked_fill(~mask, 1.0)
    mean_errors = [float(error[i][mask[i]].mean()) for i in views]  # NaN where there is no depth
    certainty = (confidence - 1).log10()
    low, high = float(_quantile(certainty, 0.02)), float(_quantile(certainty, 0.98))
    true_maps, predicted_maps, error_maps, masks, certainty_maps = (
        values.cpu().numpy() for values in (depth, predicted, error, mask, certainty)
    )
    near, far = depth_limits(list(true_maps), list(masks))
    return [
        Row(
            [colour_depth(true_maps[i], masks[i], near, far) for i in views],
            "true depth",
            key=depth_key(near, far, TEXT_HEIGHT),
        ),
        Row([colour_depth(predicted_maps[i], None, near, far) for i in views], "predicted depth"),
        Row(
            [colour_values(error_maps[i], masks[i], 0, LARGEST_ERROR) for i in views],
            "error",
            [f"mean {value:.1%}" if value == value else "no depth" for value in mean_errors],
            key=values_key("0", f"{LARGEST_ERROR:.0%}", TEXT_HEIGHT),
        ),
        Row(
            [colour_values(certainty_maps[i], None, low, high) for i in views],
            "confidence",
            [f"median {float(confidence[i].median()):.3g}" for i in views],
            key=values_key(f"{1 + 10**low:.2g}", f"{1 + 10**high:.2g}", TEXT_HEIGHT),
        ),
    ]


def _quantile(values: Tensor, share: float) -> Tensor:
    """Of the finite values, of which at most a million are looked at; 0 without any."""
    values = values[values.isfinite()]
    return values[:: 1 + len(values) // 1_000_000].quantile(share) if len(values) else values.new_zeros(())


def _photos(images: Tensor) -> list[np.ndarray]:
    """The first of images [S, 3, H, W] in [0, 1] as [H, W, 3] uint8."""
    levels = (images[:MAX_VIEWS].float().nan_to_num() * 255).round().clamp(0, 255).byte()
    return list(levels.permute(0, 2, 3, 1).cpu().numpy())


def _scale(batch: Batch, prediction: Prediction) -> float:
    return float(median_scale(prediction.depth[:1, ..., 0].float(), batch.depth[:1], batch.mask[:1]))


def _cam_to_world(world_to_cam: Tensor, scale: float) -> np.ndarray:
    """[S, 3, 4] in the frame of view 0, translations times `scale`."""
    poses = invert_rigid(relative_to_first(world_to_cam.double()))
    poses[..., 3] *= scale
    return poses.cpu().numpy()
