"""What queried views are worth over a validation or test set, next to knowing nothing but the mean colour."""

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.metrics.running_means import BASELINE, RunningMeans

NAMES = ("query_psnr", "query_ssim")
SMALLEST_ERROR = 1e-10  # 100 dB: one perfect picture must not hide all others


class QueryMetric(RunningMeans):
    """`query_psnr` (dB), `query_ssim` and, where a perceptual distance is given, `query_lpips`; means over pictures.

    The baseline `<name>_baseline` is the mean colour of the scene's input pictures everywhere.

    Args:
        perceptual: distances [N] of pictures [N, 3, H, W] in [0, 1].
    """

    def __init__(self, perceptual: nn.Module | None = None) -> None:
        super().__init__(NAMES if perceptual is None else (*NAMES, "query_lpips"))
        self._perceptual = [perceptual]  # in a list: the module belongs to the loss

    def update(self, prediction: Prediction, batch: Batch) -> None:
        """Adds the target views of the scenes that are no repeats; a batch without targets adds nothing."""
        if batch.targets is None:
            return
        if prediction.nvs_pred is None:
            raise ValueError("the prediction has no queried views, expected the model to be called with target_rays")
        first_look = ~batch.repeat if batch.repeat is not None else slice(None)
        truth = batch.target_views().images[first_look]
        mean_colour = batch.inputs().images[first_look].mean((1, 3, 4))[:, None, :, None, None].expand_as(truth)
        self._add(prediction.nvs_pred[first_look][..., :3].movedim(-1, 2).float(), truth, "")
        self._add(mean_colour, truth, BASELINE)

    def _add(self, pictures: Tensor, truth: Tensor, suffix: str) -> None:
        """Pictures [B, T, 3, H, W]."""
        if not pictures.numel():
            return
        pictures, truth = pictures.flatten(0, 1), truth.flatten(0, 1)
        error = (pictures - truth).square().mean((1, 2, 3))
        self.add("query_psnr" + suffix, -10 * error.clamp(min=SMALLEST_ERROR).log10())
        ssim = structural_similarity_index_measure(pictures, truth, data_range=1.0, reduction="none")
        self.add("query_ssim" + suffix, ssim)  # type: ignore[arg-type]  # a tensor, unless asked for the full map
        perceptual = self._perceptual[0]
        if perceptual is not None:
            with torch.autocast(pictures.device.type, enabled=False):
                self.add("query_lpips" + suffix, perceptual(pictures, truth))
