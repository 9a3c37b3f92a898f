"""How good a predicted cloud of points is: distances to the nearest true points and back, up to one similarity per scene."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from zipmap_pl.geometry.alignment import umeyama

LEAST_POINTS = 3


@dataclass
class PointErrors:
    """Per scene, [B], in the unit of the truth.

    Attributes:
        accuracy: mean distance of predicted points to the nearest true one.
        completeness: mean distance of true points to the nearest predicted one.
        valid: the scene has three valid points or more.
    """

    accuracy: Tensor
    completeness: Tensor
    valid: Tensor


def point_errors(prediction: Tensor, truth: Tensor, mask: Tensor, most: int = 10_000) -> PointErrors:
    """Errors after the best similarity of corresponding points (no ICP), over valid pixels.

    prediction, truth: points [B, S, H, W, 3], each in any world; mask: [B, S, H, W] bool. Of a scene with more than
    `most` valid pixels so many are looked at, at even steps, the same on both sides. Points that are not finite count
    as the origin of the prediction's world.
    """
    accuracy, completeness = torch.zeros(2, len(mask), dtype=torch.float64)
    valid = mask.flatten(1).sum(1) >= LEAST_POINTS
    for scene in valid.nonzero()[:, 0].tolist():
        inside = mask[scene].flatten().nonzero()[:, 0]
        count = min(most, len(inside))
        chosen = inside[torch.arange(count, device=inside.device) * len(inside) // count]
        predicted, true = (points[scene].flatten(0, -2)[chosen].cpu().double()[None] for points in (prediction, truth))
        predicted = predicted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        aligned = umeyama(predicted, true)(predicted)
        accuracy[scene], completeness[scene] = _cloud_distances(aligned[0].numpy(), true[0].numpy())
    return PointErrors(accuracy.to(mask.device), completeness.to(mask.device), valid)


def _cloud_distances(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean distance from each point [P, 3] to the nearest of the other cloud, there and back."""
    there, back = cKDTree(truth).query(prediction)[0], cKDTree(prediction).query(truth)[0]
    return float(there.mean()), float(back.mean())
