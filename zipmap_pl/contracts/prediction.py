"""What the model says about a set of views."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from zipmap_pl.contracts.scene_state import SceneState


@dataclass
class QueriedViews:
    """What B scenes look like along the rays of T cameras, under the published names.

    Attributes:
        nvs_pred: [B, T, H, W, 4] RGB in (0, 1), then planar depth z > 0.
        nvs_depth_conf: [B, T, H, W] confidence of the depth > 1.
    """

    nvs_pred: Tensor
    nvs_depth_conf: Tensor


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

    def of_views(self) -> dict[str, Tensor]:
        """Every tensor [B, S, ...] that is there, by its name; the poses of the iterations by their number."""
        queried = {field.name for field in fields(QueriedViews)}
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in queried}
        maps = {name: value for name, value in values.items() if isinstance(value, Tensor) and name != "pose_enc"}
        return maps | {str(number): pose for number, pose in enumerate(self.pose_enc_list)}

    def with_views(self, tensors: Mapping[str, Tensor]) -> "Prediction":
        """The same with other tensors in place of all those of `of_views`."""
        poses = [tensors[str(number)] for number in range(len(self.pose_enc_list))]
        maps: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if not name.isdigit()}
        return replace(self, pose_enc=poses[-1], pose_enc_list=poses, **maps)

    def on(self, device: torch.device | str) -> "Prediction":
        """What `of_views` has on another device; the state and queried views are left out."""
        queried: dict[str, Any] = {field.name: None for field in fields(QueriedViews)}
        return replace(self, state=None, **queried).with_views(
            {name: tensor.to(device) for name, tensor in self.of_views().items()}
        )
