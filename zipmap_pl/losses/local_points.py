"""Point loss: weighted L1 distance of each pixel's point in its own camera's frame."""

from torch import Tensor

from zipmap_pl.losses.safety import LIMIT, finite, masked_mean
from zipmap_pl.losses.weighting import inverse_depth_weights


def local_point_loss(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid pixels and coordinates of |prediction - truth| / depth (see `inverse_depth_weights`).

    prediction (aligned), truth: [B, S, H, W, 3]; mask: [B, S, H, W], valid pixels of the scenes that count.
    """
    weights = inverse_depth_weights(truth[..., 2], mask)
    error = finite(prediction - truth).abs() * weights[..., None]
    return masked_mean(error.clamp(max=LIMIT).mean(-1), mask)
