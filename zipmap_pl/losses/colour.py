"""Colour loss of queried views: squared error over all pixels, and the familiar name for it in decibels."""

from torch import Tensor


def colour_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of pictures of the same shape in [0, 1]; every pixel counts, whether its depth is known or not."""
    return (prediction - truth).square().mean()


def peak_signal_to_noise(squared_error: Tensor) -> Tensor:
    """PSNR in dB of a mean squared error of values in [0, 1]; infinity for 0."""
    return -10 * squared_error.log10()
