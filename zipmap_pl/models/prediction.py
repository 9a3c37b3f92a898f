"""What the model says about a set of views."""

from dataclasses import dataclass

from torch import Tensor

from zipmap_pl.models.scene_state import SceneState


@dataclass
class Prediction:
    """Outputs for B scenes with S views of H x W pixels, under the published names.

    Attributes:
        pose_enc: [B, S, 9] world-to-camera translation, quaternion xyzw, field of view of height and width (radians).
        pose_enc_list: the same for every iteration of the camera head, the last one being `pose_enc`.
        depth: [B, S, H, W, 1] planar z > 0.
        depth_conf: [B, S, H, W] confidence > 1.
        local_points: [B, S, H, W, 3] xyz in each camera's own frame.
        state: what the model remembers of the scenes; None unless asked for, or if it remembers nothing (softmax).
        nvs_pred, nvs_depth_conf: the queried views (see `QueriedViews`); None without query rays.
    """

    pose_enc: Tensor
    pose_enc_list: list[Tensor]
    depth: Tensor
    depth_conf: Tensor
    local_points: Tensor
    state: SceneState | None = None
    nvs_pred: Tensor | None = None
    nvs_depth_conf: Tensor | None = None


@dataclass
class QueriedViews:
    """What B scenes look like along the rays of T cameras, under the published names.

    Attributes:
        nvs_pred: [B, T, H, W, 4] RGB in (0, 1), then planar depth z > 0.
        nvs_depth_conf: [B, T, H, W] confidence of the depth > 1.
    """

    nvs_pred: Tensor
    nvs_depth_conf: Tensor
