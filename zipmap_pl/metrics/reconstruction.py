"""What predictions of depth and cameras are worth over a validation or test set, next to knowing nothing.

Every scene counts once; in the AUC of poses every pair of views.
"""

from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.geometry.pose_encoding import decode_pose, encode_pose
from zipmap_pl.geometry.projection import unproject_to_world
from zipmap_pl.metrics.baselines import constant_depth, identity_world_to_cam
from zipmap_pl.metrics.depth import depth_errors
from zipmap_pl.metrics.points import point_errors
from zipmap_pl.metrics.pose import auc_score, pose_errors
from zipmap_pl.metrics.running_means import BASELINE, RunningMeans

AUC_THRESHOLDS = (5, 15, 30)  # degrees
DEPTH_NAMES = ("depth_abs_rel", "depth_delta_1.25")
POSE_NAMES = (
    "rotation_deg",
    "translation_direction_deg",
    "centre_error",
    *(f"pose_auc_{threshold}" for threshold in AUC_THRESHOLDS),
    "trajectory_error",
)
POINT_NAMES = ("point_accuracy", "point_completeness")


class ReconstructionMetric(RunningMeans):
    """Depth, cameras and points of a model, and of predictors that know nothing on the same scenes.

    Depth: `depth_abs_rel` and `depth_delta_1.25` after one median scale per scene. Cameras: `rotation_deg` and
    `translation_direction_deg` over all pairs of views, `centre_error` relative to view 0, `pose_auc_5`, `_15`, `_30`
    (0 to 1), `trajectory_error` (ATE; of scenes with three views or more: two always fit). Points, from depth and cameras:
    `point_accuracy`, `point_completeness`. Trajectory and points are in the unit of the batch, after one similarity per
    scene. The baseline `<name>_baseline` is constant depth, and cameras in one place that look the same way.
    """

    def __init__(self) -> None:
        super().__init__(DEPTH_NAMES + POSE_NAMES + POINT_NAMES)

    def update(self, prediction: Prediction, batch: Batch) -> None:
        """Adds the input views of the scenes that are no repeats; unit and world need not be those of the prediction."""
        batch = batch.inputs()
        first_look = ~batch.repeat if batch.repeat is not None else slice(None)
        depth, mask = batch.depth[first_look], batch.mask[first_look]
        world_to_cam, intrinsics = batch.world_to_cam[first_look], batch.intrinsics[first_look]
        true_points = unproject_to_world(depth, intrinsics, world_to_cam)
        nothing = encode_pose(identity_world_to_cam(world_to_cam), intrinsics, *depth.shape[-2:])
        said = prediction.depth[first_look][..., 0].float(), prediction.pose_enc[first_look].float()
        for (some_depth, encoding), suffix in ((said, ""), ((constant_depth(depth), nothing), BASELINE)):
            some_world_to_cam, some_intrinsics = decode_pose(encoding, *depth.shape[-2:])
            self._add_depth(some_depth, depth, mask, suffix)
            self._add_pose(some_world_to_cam, world_to_cam, suffix)
            points = unproject_to_world(some_depth, some_intrinsics, some_world_to_cam)
            self._add_points(points, true_points, mask, suffix)

    def _add_depth(self, prediction: Tensor, truth: Tensor, mask: Tensor, suffix: str) -> None:
        errors = depth_errors(prediction, truth, mask)
        self.add("depth_abs_rel" + suffix, errors.abs_rel, errors.valid)
        self.add("depth_delta_1.25" + suffix, errors.delta, errors.valid)

    def _add_pose(self, prediction: Tensor, truth: Tensor, suffix: str) -> None:
        views = truth.shape[1]
        if views < 2:
            return
        errors = pose_errors(prediction, truth)
        self.add("rotation_deg" + suffix, errors.rotation)
        self.add("translation_direction_deg" + suffix, errors.translation_direction)
        self.add("centre_error" + suffix, errors.centre)
        for threshold in AUC_THRESHOLDS:
            self.add(f"pose_auc_{threshold}{suffix}", auc_score(errors.pair, threshold))
        if views >= 3:
            self.add("trajectory_error" + suffix, errors.trajectory)

    def _add_points(self, prediction: Tensor, truth: Tensor, mask: Tensor, suffix: str) -> None:
        errors = point_errors(prediction, truth, mask)
        self.add("point_accuracy" + suffix, errors.accuracy, errors.valid)
        self.add("point_completeness" + suffix, errors.completeness, errors.valid)
