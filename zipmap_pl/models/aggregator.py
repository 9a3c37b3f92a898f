"""The backbone: tokens of all views, alternately mixed within each view and over the scene.

B scenes, S views, P tokens per view in the order camera, registers, patches; C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zipmap_pl.models import activation_checkpointing
from zipmap_pl.models.blocks import SCENE_BLOCKS, FrameBlock, SceneContext
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.dinov2 import DinoV2
from zipmap_pl.models.fast_weights import TTTState
from zipmap_pl.models.rope import grid_positions, rotation_at

REGISTERS = 4
SPECIAL_TOKENS = 1 + REGISTERS  # in front of the patches of each view
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass
class Features:
    """What the heads read.

    Attributes:
        levels: four times [B, S, P, 2C], after the blocks of `feature_blocks`: outputs of frame block and scene
            block side by side.
        state: what each scene block remembers; empty unless asked for.
    """

    levels: list[Tensor]
    state: list[TTTState]


class Aggregator(nn.Module):
    """Tokenizer, special tokens and the alternating blocks. Parameter names as published."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.reference_view = config.reference_view
        self.checkpoint_activations = config.checkpoint_activations
        self.feature_blocks = tuple(config.feature_blocks)
        self.head_dim = dim // config.heads
        self.patch_size = config.patch_size
        self.patch_embed = DinoV2(dim, config.patch_size, config.tokenizer, config.checkpoint_activations)
        # Slot 0 is for the reference view, slot 1 for the others.
        self.camera_token = nn.Parameter(torch.randn(1, 2, 1, dim) * config.token_std)
        self.register_token = nn.Parameter(torch.randn(1, 2, REGISTERS, dim) * config.token_std)
        self.frame_blocks = nn.ModuleList(
            FrameBlock(dim, config.heads, config.layer_scale) for _ in range(config.depth)
        )
        self.global_blocks = nn.ModuleList(SCENE_BLOCKS[config.global_mixer](config) for _ in range(config.depth))
        # On the CPU even if the parameters are made on the meta device, because loading weights does not fill them.
        mean, std = (torch.tensor(values, device="cpu").view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
        self.register_buffer("image_mean", mean, persistent=False)
        self.register_buffer("image_std", std, persistent=False)

    def forward(self, images: Tensor, keep_state: bool = False) -> Features:
        """Pictures [B, S, 3, H, W] in [0, 1] -> features of the four chosen levels."""
        scenes, views, _, height, width = images.shape
        tokens = self._tokens(images)
        positions = grid_positions(
            height // self.patch_size, width // self.patch_size, SPECIAL_TOKENS, device=images.device
        )
        rotation = rotation_at(positions, self.head_dim, torch.promote_types(tokens.dtype, torch.float32))
        context = SceneContext(rotation, views)
        recompute = self.checkpoint_activations and self.training
        features = Features([], [])
        for index, (frame_block, scene_block) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            within_views = activation_checkpointing.run(frame_block, tokens, rotation, recompute=recompute)
            scene_tokens = within_views.unflatten(0, (scenes, views)).flatten(1, 2)
            over_scene, state = activation_checkpointing.run(scene_block, scene_tokens, context, recompute=recompute)
            tokens = over_scene.unflatten(1, (views, -1)).flatten(0, 1)
            if index in self.feature_blocks:
                features.levels.append(torch.cat([within_views, tokens], dim=-1).unflatten(0, (scenes, views)))
            if keep_state and state is not None:
                features.state.append(state)
        return features

    def _tokens(self, images: Tensor) -> Tensor:
        """[B * S, P, C], before any block."""
        scenes, views = images.shape[:2]
        normalised = (images - self.image_mean) / self.image_std
        patches = self.patch_embed(normalised.flatten(0, 1))
        specials = torch.cat([self.camera_token, self.register_token], dim=2)[0]  # [2 slots, 5, C]
        slots = torch.ones(views, dtype=torch.long, device=images.device)
        if self.reference_view:
            slots[0] = 0
        return torch.cat([specials[slots].repeat(scenes, 1, 1), patches], dim=1)
