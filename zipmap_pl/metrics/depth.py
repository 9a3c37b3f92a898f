"""How good predicted depth is up to one factor per scene."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zipmap_pl.geometry.alignment import median_scale


@dataclass
class DepthErrors:
    """Per scene, [B].

    Attributes:
        abs_rel: mean |d - t| / t.
        delta: share of pixels with max(d / t, t / d) < 1.25.
        valid: the scene has valid pixels.
    """

    abs_rel: Tensor
    delta: Tensor
    valid: Tensor


def depth_errors(prediction: Tensor, truth: Tensor, mask: Tensor) -> DepthErrors:
    """Errors over the valid pixels of all views of a scene after one median scale.

    prediction, truth: [B, S, H, W] planar z in any unit; mask: [B, S, H, W] bool. A prediction that is not finite, or
    not positive, counts as 0: an error of 1 and no hit. Scenes without valid pixels have zeros and valid = False.
    """
    count = mask.flatten(1).sum(1)
    prediction = prediction.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(min=0.0)
    scaled = prediction * median_scale(prediction, truth, mask)[:, None, None, None]
    truth = truth.masked_fill(~mask, 1.0)
    abs_rel = (scaled - truth).abs() / truth
    hit = torch.maximum(scaled / truth, truth / scaled) < 1.25
    mean_error, share = (
        values.masked_fill(~mask, 0).flatten(1).sum(1) / count.clamp(min=1) for values in (abs_rel, hit.to(truth.dtype))
    )
    return DepthErrors(mean_error, share, count > 0)
