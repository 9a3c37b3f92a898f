"""One picture that tells how training goes: views, true and predicted depth, depth error, camera paths from above."""

import numpy as np
import torch

from zipmap_pl.datasets.batch import Batch
from zipmap_pl.drawing.cameras_from_above import CameraPath, cameras_from_above
from zipmap_pl.drawing.depth_colours import colour_depth, depth_limits
from zipmap_pl.drawing.sheet import sheet
from zipmap_pl.geometry.pose_encoding import decode_pose
from zipmap_pl.models.prediction import Prediction

MAX_VIEWS = 6


@torch.no_grad()
def picture_panel(batch: Batch, prediction: Prediction) -> np.ndarray:
    """Draw the first scene of a batch. Predicted depth and path are brought to the true scale by the median ratio of depths.

    Returns [H, W, 3] uint8.
    """
    raise AssertionError


