"""One picture that tells how training goes: views, true and predicted depth, camera paths from above."""

import numpy as np
import torch
from torch import Tensor

from zipmap_pl.datasets.batch import Batch
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits
from zipmap_pl.drawing.sheet import Row, draw_sheet
from zipmap_pl.geometry.alignment import median_scale
from zipmap_pl.geometry.pose_encoding import decode_extrinsics
from zipmap_pl.geometry.rigid import invert_rigid, relative_to_first
from zipmap_pl.models.prediction import Prediction

MAX_VIEWS = 6
TRUE_COLOUR, PREDICTED_COLOUR = (30, 140, 60), (220, 60, 40)


@torch.no_grad()
def picture_panel(batch: Batch, prediction: Prediction, title: str) -> np.ndarray:
    """Draw the first scene of a batch, [H, W, 3] uint8.

    Predicted depth and camera path are brought to the true scale by the ratio of the median valid depths. Cameras that
    are not finite are left out.
    """
    mask = batch.mask[0]
    depth, predicted = batch.depth[0], prediction.depth[0, ..., 0].float()
    scale = float(median_scale(predicted[None], depth[None], mask[None]))
    views = range(min(len(mask), MAX_VIEWS))
    true_depths, masks = _pictures(depth), _pictures(mask)
    predicted_depths = _pictures(predicted * scale)
    near, far = depth_limits(list(true_depths), list(masks))
    paths = [
        CameraPath(_cam_to_world(batch.extrinsics[0], 1.0), "true", TRUE_COLOUR),
        CameraPath(
            _cam_to_world(decode_extrinsics(prediction.pose_enc[0].float()), scale), "predicted", PREDICTED_COLOUR
        ),
    ]
    images = _pictures((batch.images[0] * 255).round().byte().permute(0, 2, 3, 1))
    return draw_sheet(
        [
            Row([images[i] for i in views], "picture"),
            Row([colour_depth(true_depths[i], masks[i], near, far) for i in views], "true depth"),
            Row([colour_depth(predicted_depths[i], None, near, far) for i in views], "predicted"),
            Row([cameras_from_above(paths)], "from above", span=2),
        ],
        title=title,
    )


def _pictures(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


def _cam_to_world(extrinsics: Tensor, scale: float) -> np.ndarray:
    """[S, 3, 4] in the frame of view 0, translations times `scale`."""
    poses = invert_rigid(relative_to_first(extrinsics.double()))
    poses[..., 3] *= scale
    return poses.cpu().numpy()
