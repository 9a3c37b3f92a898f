"""What the model says about a set of views."""

from dataclasses import dataclass, field

from torch import Tensor

from zipmap_pl.models.fast_weights import TTTState


@dataclass
class Prediction:
    """Outputs for B scenes with S views of H x W pixels, under the published names.

    Attributes:
        pose_enc: [B, S, 9] world-to-camera translation, quaternion xyzw, field of view of height and width (radians).
        pose_enc_list: the same for every iteration of the camera head, the last one being `pose_enc`.
        depth: [B, S, H, W, 1] planar z > 0.
        depth_conf: [B, S, H, W] confidence > 1.
        local_points: [B, S, H, W, 3] xyz in each camera's own frame.
        state: per global block the fast weights after all updates with their reference norms; empty unless asked for.
    """

    pose_enc: Tensor
    pose_enc_list: list[Tensor]
    depth: Tensor
    depth_conf: Tensor
    local_points: Tensor
    state: list[TTTState] = field(default_factory=list)
