"""Running means over a validation or test set, next to those of predictors that have learned nothing.

Every scene counts once.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from zipmap_pl.datasets.batch import Batch
from zipmap_pl.geometry.pose_encoding import decode_extrinsics
from zipmap_pl.metrics.baselines import constant_depth, identity_extrinsics
from zipmap_pl.metrics.depth import depth_errors
from zipmap_pl.metrics.pose import pose_errors
from zipmap_pl.models.prediction import Prediction

DEPTH_NAMES = ("depth_abs_rel", "depth_delta_1.25")
POSE_NAMES = ("rotation_deg", "translation_direction_deg", "centre_error")
BASELINE = "_baseline"


class MeanOverScenes(Metric):
    """Means of named numbers per scene.

    The states are sums and counts, so that ranks and batches of any size add up.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.add_state("sums", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, name: str, values: Tensor, valid: Tensor) -> None:
        """Adds the values [B] of those scenes where valid [B] holds."""
        column = self.names.index(name)
        self.sums[column] += values.masked_fill(~valid, 0.0).sum(dtype=torch.float64)
        self.counts[column] += valid.sum()

    def compute(self) -> dict[str, Tensor]:
        """Mean by name; NaN for a number that no scene has."""
        means = (self.sums / self.counts).float()
        return dict(zip(self.names, means.unbind(), strict=True))

    def add_depth(self, prediction: Tensor, truth: Tensor, mask: Tensor, suffix: str = "") -> None:
        """Adds the depth errors of B scenes [B, S, H, W]; scenes without valid pixels do not count."""
        errors = depth_errors(prediction, truth, mask)
        self.add("depth_abs_rel" + suffix, errors.abs_rel, errors.valid)
        self.add("depth_delta_1.25" + suffix, errors.delta, errors.valid)

    def add_pose(self, prediction: Tensor, truth: Tensor, suffix: str = "") -> None:
        """Adds the pose errors of B scenes [B, S, 3 or 4, 4]; scenes of one view do not count."""
        if truth.shape[1] < 2:
            return
        errors = pose_errors(prediction, truth)
        every = torch.ones(len(truth), dtype=torch.bool, device=truth.device)
        self.add("rotation_deg" + suffix, errors.rotation, every)
        self.add("translation_direction_deg" + suffix, errors.translation_direction, every)
        self.add("centre_error" + suffix, errors.centre, every)


class DepthMetric(MeanOverScenes):
    """AbsRel and share within 1.25 after one median scale per scene: `depth_abs_rel`, `depth_delta_1.25`."""

    def __init__(self) -> None:
        super().__init__(DEPTH_NAMES)

    def update(self, prediction: Tensor, truth: Tensor, mask: Tensor) -> None:
        """Adds B scenes: prediction, truth [B, S, H, W] in any unit, mask [B, S, H, W] bool."""
        self.add_depth(prediction, truth, mask)


class PoseMetric(MeanOverScenes):
    """`rotation_deg` and `translation_direction_deg` over all pairs of views; `centre_error` relative to view 0."""

    def __init__(self) -> None:
        super().__init__(POSE_NAMES)

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Adds B scenes: world-to-camera [B, S, 3 or 4, 4], each in any frame and unit."""
        self.add_pose(prediction, truth)


class ReconstructionMetric(MeanOverScenes):
    """All numbers of `DepthMetric` and `PoseMetric`, for the model and for predictors that know nothing.

    The latter, constant depth and identical cameras on the same scenes, are named `<name>_baseline`.
    """

    def __init__(self) -> None:
        names = DEPTH_NAMES + POSE_NAMES
        super().__init__(names + tuple(name + BASELINE for name in names))

    def update(self, prediction: Prediction, batch: Batch) -> None:
        """Adds the scenes of a batch that are no repeats; its unit and world need not be those of the prediction."""
        first_look = torch.ones_like(batch.normals) if batch.repeat is None else ~batch.repeat
        depth, mask, extrinsics = batch.depth[first_look], batch.mask[first_look], batch.extrinsics[first_look]
        self.add_depth(prediction.depth[first_look][..., 0].float(), depth, mask)
        self.add_depth(constant_depth(depth), depth, mask, BASELINE)
        self.add_pose(decode_extrinsics(prediction.pose_enc[first_look].float()), extrinsics)
        self.add_pose(identity_extrinsics(extrinsics), extrinsics, BASELINE)
