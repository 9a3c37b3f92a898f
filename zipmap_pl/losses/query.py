"""The loss of queried views: their colours, and their depth in the scale that the input views were aligned with."""

from functools import partial

import torch
from torch import Tensor, nn

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.losses.colour import colour_loss, peak_signal_to_noise
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.depth import by_batch, by_scene, depth_confidence_loss, depth_gradient_loss, depth_regression_loss
from zipmap_pl.losses.normalisation import QueryTruth
from zipmap_pl.losses.perceptual import PerceptualDistance, load_perceptual_distance
from zipmap_pl.losses.safety import bounded, scenes_with_depth
from zipmap_pl.models.layers.precision import at_least_float32

DEPTH_TERMS = ("query_depth_confidence", "query_depth_regression", "query_depth_gradient")


class QueryLoss(nn.Module):
    """Compares queried views with the truth: in float32, but LPIPS, which runs under bfloat16 autocast as published.

    Returned terms, all scalars: `query_colour` (with the weights inside it), `query_squared_error`,
    `query_perceptual` (left out where its weight is 0), `query_psnr` (dB, for the eye), `query_depth_confidence`,
    `query_depth_regression`, `query_depth_gradient`.

    Args:
        config: weights and settings.
        perceptual: the perceptual distance; by default LPIPS with published weights.

    Raises:
        UserError: the weights of LPIPS are not on this machine.
    """

    def __init__(self, config: LossConfig, perceptual: PerceptualDistance | None = None) -> None:
        super().__init__()
        self.config = config
        if config.query_perceptual == 0:
            perceptual = None
        elif perceptual is None:
            perceptual = load_perceptual_distance(config.vgg_weights)
        self.perceptual = perceptual

    def forward(self, prediction: Prediction, truth: QueryTruth) -> dict[str, Tensor]:
        """Loss terms by name, of a prediction in the unit of the truth (`scale.align_prediction`)."""
        if prediction.nvs_pred is None or prediction.nvs_depth_conf is None:
            raise ValueError("the prediction has no queried views, expected the model to be called with target_rays")
        with torch.autocast(prediction.nvs_pred.device.type, enabled=False):
            queried = at_least_float32(prediction.nvs_pred)
            confidence = at_least_float32(prediction.nvs_depth_conf)
            colour = self._colour(queried[..., :3].movedim(-1, 2), truth.images)
            return colour | self._depth(queried[..., 3], confidence, truth)

    def weighted_sum(self, terms: dict[str, Tensor]) -> Tensor:
        """What the terms add to the training loss."""
        depth = torch.stack([terms[name] for name in DEPTH_TERMS]).sum()
        return self.config.query_colour * terms["query_colour"] + self.config.query_depth * depth

    def _colour(self, prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
        squared_error = colour_loss(prediction, truth)
        terms = {
            "query_colour": self.config.query_squared_error * squared_error,
            "query_squared_error": squared_error,
            "query_psnr": peak_signal_to_noise(squared_error.detach()),
        }
        if self.perceptual is not None:
            with torch.autocast(prediction.device.type, torch.bfloat16):
                distance = self.perceptual(prediction.flatten(0, 1), truth.flatten(0, 1)).float().mean()
            terms["query_perceptual"] = distance
            terms["query_colour"] = terms["query_colour"] + self.config.query_perceptual * distance
        return terms

    def _depth(self, depth: Tensor, confidence: Tensor, truth: QueryTruth) -> dict[str, Tensor]:
        """As the depth terms of the input views, with the masks of the target views."""
        mask = truth.mask & scenes_with_depth(truth.mask)[:, None, None, None]
        error = (depth.masked_fill(~mask, 0.0) - bounded(truth.depth)).masked_fill(~mask, 0.0)
        confidence = confidence.masked_fill(~mask, 1.0)
        config = self.config
        over = by_scene if config.depth_by_scene else by_batch
        confidence_loss = partial(depth_confidence_loss, alpha=config.alpha, valid_range=config.valid_range)
        regression_loss = partial(depth_regression_loss, valid_range=config.valid_range)
        return {
            "query_depth_confidence": over(confidence_loss, error, confidence, mask),
            "query_depth_regression": over(regression_loss, error, mask),
            "query_depth_gradient": over(depth_gradient_loss, error, mask),
        }
