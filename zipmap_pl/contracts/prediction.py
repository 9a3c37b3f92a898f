"""What the model says about a set of views."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.geometry.pose_encoding import decode_intrinsics
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.models.heads.activations import depth_and_confidence, local_points


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

    @staticmethod
    def of_maps(poses: list[Tensor], depth: Tensor, points: Tensor | None, state: SceneState | None) -> "Prediction":
        """From pose encodings [B, S, 9] of every iteration and raw maps [B, S, H, W, channels].

        points: None if the local points are those of the depth and the field of view.
        """
        z, confidence = depth_and_confidence(depth)
        if points is not None:
            return Prediction(poses[-1], poses, z, confidence, local_points(points), state)
        xyz = unproject(z[..., 0], decode_intrinsics(poses[-1], *z.shape[2:4]))
        return Prediction(poses[-1], poses, z, confidence, xyz, state)

    def on(self, device: torch.device | str) -> "Prediction":
        """Cameras, depth and points on another device."""
        poses = [pose.to(device) for pose in self.pose_enc_list]
        depth, confidence, points = (maps.to(device) for maps in (self.depth, self.depth_conf, self.local_points))
        return Prediction(poses[-1], poses, depth, confidence, points)


@dataclass
class QueriedViews:
    """What B scenes look like along the rays of T cameras, under the published names.

    Attributes:
        nvs_pred: [B, T, H, W, 4] RGB in (0, 1), then planar depth z > 0.
        nvs_depth_conf: [B, T, H, W] confidence of the depth > 1.
    """

    nvs_pred: Tensor
    nvs_depth_conf: Tensor
