"""Camera heads: from the camera tokens of a scene to the pose encodings of its views."""

import torch
from timm.layers import Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from zipmap_pl.models.config import CameraHeadConfig
from zipmap_pl.models.heads.activations import pose_encoding

POSE_CHANNELS = 9


class CameraHead(nn.Module):
    """Refines the poses of all views together: every iteration sees those so far (detached) and adds to them.

    The iterations share their weights. Parameter names as published.
    """

    def __init__(self, dim: int, config: CameraHeadConfig) -> None:
        super().__init__()
        self.iterations = config.iterations
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_CHANNELS))
        self.token_norm = nn.LayerNorm(dim)
        self.embed_pose = nn.Linear(POSE_CHANNELS, dim)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 3 * dim))
        self.modulated_norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.trunk = nn.Sequential(
            *(
                Block(dim, config.heads, qkv_bias=True, init_values=config.layer_scale, norm_layer=nn.LayerNorm)
                for _ in range(config.trunk_depth)
            )
        )
        self.trunk_norm = nn.LayerNorm(dim)
        self.pose_branch = Mlp(dim, dim // 2, POSE_CHANNELS)

    def forward(self, camera_tokens: Tensor) -> list[Tensor]:
        """Camera tokens [B, S, 2C] -> pose encodings [B, S, 9] of every iteration, the last one being the answer."""
        tokens = self.token_norm(camera_tokens)
        normalised = self.modulated_norm(tokens)
        pose: Tensor | None = None
        encodings = []
        for _ in range(self.iterations):
            so_far = self.empty_pose_tokens.expand(*tokens.shape[:2], -1) if pose is None else pose.detach()
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(so_far)).chunk(3, dim=-1)
            modulated = gate * (normalised * (1 + scale) + shift) + tokens
            correction = self.pose_branch(self.trunk_norm(self.trunk(modulated)))
            pose = correction if pose is None else so_far + correction
            encodings.append(pose_encoding(pose))
        return encodings


class MLPCameraHead(nn.Module):
    """The pose of each view from its own camera token, as a stream of views needs it. Parameter names as published."""

    def __init__(self, dim: int, config: CameraHeadConfig) -> None:
        super().__init__()
        self.mlp = Mlp(dim, 4 * dim, POSE_CHANNELS)

    def forward(self, camera_tokens: Tensor) -> list[Tensor]:
        """Camera tokens [B, S, 2C] -> the one pose encoding [B, S, 9]."""
        return [pose_encoding(self.mlp(camera_tokens))]
