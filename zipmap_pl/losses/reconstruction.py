"""The training loss: camera, points, normals, depth and queried views, weighted and summed."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.losses.camera import affine_invariant_loss, reference_view_loss
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.depth import by_batch, by_scene, depth_confidence_loss, depth_gradient_loss, depth_regression_loss
from zipmap_pl.losses.extra import load_terms
from zipmap_pl.losses.local_points import local_point_loss
from zipmap_pl.losses.normalisation import SCALE_RANGE, GroundTruth, QueryTruth
from zipmap_pl.losses.normals import normal_loss
from zipmap_pl.losses.query import QueryLoss
from zipmap_pl.losses.safety import bounded, scenes_with_camera, scenes_with_depth
from zipmap_pl.losses.scale import align_prediction
from zipmap_pl.models.layers.precision import at_least_float32

WEIGHTED = ("camera", "points", "normals", "depth_confidence", "depth_regression", "depth_gradient")
CAMERA_PARTS = ("camera_translation", "camera_rotation", "camera_field_of_view")


class ReconstructionLoss(nn.Module):
    """Compares a prediction with normalised ground truth, in float32 whatever autocast says.

    Returned terms, all scalars and unweighted but the first: `total`, `camera` (with the weights inside it),
    `camera_translation`, `camera_rotation`, `camera_field_of_view`, `points`, `normals`, `depth_confidence`,
    `depth_regression`, `depth_gradient`, the `extra` ones of the settings, and those of `query` for batches with queried
    views. `total` carries the gradient and may be non-finite; whether to skip the step is the trainer's decision, for all
    ranks.

    Args:
        config: weights and settings.
        query: judges the queried views of state-query stages.
        reference_view: as of the model: cameras are compared in the frame of view 0; otherwise in pairs.

    Raises:
        UserError: an extra term cannot be found.
    """

    def __init__(self, config: LossConfig, query: QueryLoss | None = None, reference_view: bool = True) -> None:
        super().__init__()
        self.config = config
        self.reference_view = reference_view
        self.query = query
        self.extra = load_terms(config.extra, taken={"total", *WEIGHTED, *CAMERA_PARTS})

    def forward(
        self, prediction: Prediction, truth: GroundTruth, queried: QueryTruth | None = None
    ) -> dict[str, Tensor]:
        """Loss terms by name; the arguments after the first are what `normalisation.ground_truth` says of a batch."""
        with torch.autocast(prediction.depth.device.type, enabled=False):
            truth = _bounded_truth(truth)
            aligned, _ = align_prediction(
                _valid_only(prediction, truth.mask),
                truth,
                self.config.scale_samples,
                by_cameras=self.config.cameras_without_depth,
            )
            terms = self._terms(aligned, truth)
            if self.query is not None and queried is not None:
                of_query = self.query(aligned, queried)
                terms["total"] = terms["total"] + self.query.weighted_sum(of_query)
                terms |= of_query
        return terms

    def _terms(self, aligned: Prediction, truth: GroundTruth) -> dict[str, Tensor]:
        config = self.config
        mask = truth.mask & scenes_with_depth(truth.mask)[:, None, None, None]
        error = (aligned.depth[..., 0] - truth.depth).masked_fill(~mask, 0.0)
        over = by_scene if config.depth_by_scene else by_batch
        confidence_loss = partial(depth_confidence_loss, alpha=config.alpha, valid_range=config.valid_range)
        regression_loss = partial(depth_regression_loss, valid_range=config.valid_range)
        terms = self._camera(aligned, truth)
        terms |= {
            "points": local_point_loss(aligned.local_points, truth.local_points, mask),
            "normals": self._normals(aligned.local_points, truth, mask),
            "depth_confidence": over(confidence_loss, error, aligned.depth_conf, mask),
            "depth_regression": over(regression_loss, error, mask),
            "depth_gradient": over(depth_gradient_loss, error, mask),
        }
        terms |= {name: term(aligned, truth) for name, (term, _) in self.extra.items()}
        total = sum(getattr(config, name) * terms[name] for name in WEIGHTED)
        total = total + sum(weight * terms[name] for name, (_, weight) in self.extra.items())
        return {"total": total} | terms

    def _camera(self, aligned: Prediction, truth: GroundTruth) -> dict[str, Tensor]:
        height, width = truth.mask.shape[-2:]
        true_encoding = encode_pose(truth.world_to_cam, truth.intrinsics, height, width)
        scenes = scenes_with_camera(truth.mask, self.config.camera_by_any_view and not self.reference_view)
        if self.config.cameras_without_depth:
            scenes = scenes | (~truth.mask.flatten(1).any(1) & (truth.scale > SCALE_RANGE[0]))  # and cameras that move
        loss = reference_view_loss if self.reference_view else affine_invariant_loss
        weights = self.config.reference_view if self.reference_view else self.config.affine_invariant
        parts = loss(torch.stack(aligned.pose_enc_list), true_encoding, scenes)
        total = weights.translation * parts.translation + weights.rotation * parts.rotation
        return {
            "camera": total + weights.field_of_view * parts.field_of_view,
            "camera_translation": parts.translation,
            "camera_rotation": parts.rotation,
            "camera_field_of_view": parts.field_of_view,
        }

    def _normals(self, local_points: Tensor, truth: GroundTruth, mask: Tensor) -> Tensor:
        """The normal loss of the flagged scenes; left out (0) when its weight is 0, because it is the costliest.

        It keeps scenes with few valid pixels, unless the whole batch has no other.
        """
        chosen, edges_at_holes = [], self.config.edges_at_holes
        if self.config.normals != 0:
            *flags, any_depth = torch.cat([truth.normals, mask.any()[None]]).tolist()  # one wait for a GPU, not three
            chosen = [scene for scene, flag in enumerate(flags) if flag and any_depth]
        if not chosen:
            return 0.0 * local_points.sum()
        if len(chosen) == len(mask):
            return normal_loss(local_points, truth.local_points, truth.mask, edges_at_holes=edges_at_holes)
        maps = (
            torch.stack([values[scene] for scene in chosen])
            for values in (local_points, truth.local_points, truth.mask)
        )
        return normal_loss(*maps, edges_at_holes=edges_at_holes)


def _valid_only(prediction: Prediction, mask: Tensor) -> Prediction:
    """The prediction in float32, 0 (confidence 1) where the truth is unknown: whatever it holds there cannot spread."""
    unknown = ~mask[..., None]
    return replace(
        prediction,
        pose_enc=at_least_float32(prediction.pose_enc),
        pose_enc_list=[at_least_float32(pose_enc) for pose_enc in prediction.pose_enc_list],
        depth=at_least_float32(prediction.depth).masked_fill(unknown, 0.0),
        depth_conf=at_least_float32(prediction.depth_conf).masked_fill(~mask, 1.0),
        local_points=at_least_float32(prediction.local_points).masked_fill(unknown, 0.0),
    )


def _bounded_truth(truth: GroundTruth) -> GroundTruth:
    return replace(truth, depth=bounded(truth.depth), local_points=bounded(truth.local_points))
