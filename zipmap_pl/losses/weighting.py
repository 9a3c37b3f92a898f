"""Pixels far away count less: weights of the point loss and of the scale solver."""

from torch import Tensor


def inverse_depth_weights(depth: Tensor, mask: Tensor) -> Tensor:
    """Weights [B, S, H, W] = 1 / (max(z, z_mean / 10) + 1e-6) of true depth z.

    `z_mean` is the mean over each view's valid pixels.
    """
    valid = mask.flatten(2).to(depth.dtype).mean(-1)
    mean = (depth * mask).flatten(2).mean(-1) / (valid + 1e-7)
    return 1 / (depth.maximum(0.1 * mean[:, :, None, None]) + 1e-6)
