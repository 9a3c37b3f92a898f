"""The backbone: tokens of all views, alternately mixed within each view and over the scene.

B scenes, S views, P tokens per view in the order camera, registers, patches; C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn

from zipmap_pl.contracts.scene_state import LayerState, SceneState
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.dinov2 import DinoV2
from zipmap_pl.models.layers import activation_checkpointing
from zipmap_pl.models.layers.rope import grid_positions, rotation_at
from zipmap_pl.models.mixers.blocks import FrameBlock, SceneBlock
from zipmap_pl.models.mixers.scene_mixer import FIT_THEN_READ_ALL, Operator, SceneMixer, TokenGrid

REGISTERS = 4
SPECIAL_TOKENS = 1 + REGISTERS  # in front of the patches of each view
RAY_CHANNELS = 9  # origin, direction, moment
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass
class Features:
    """What the heads read.

    Attributes:
        levels: four times [B, S, P, 2C], after the blocks of `feature_blocks`: outputs of frame block and scene
            block side by side; empty if not asked for.
        state: what the scene blocks remember; None unless asked for, or if they remember nothing.
    """

    levels: list[Tensor]
    state: SceneState | None


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
        self.mixer_kind = config.mixer_kind
        self.head_dim = dim // config.heads
        self.patch_size = config.patch_size
        self.patch_embed = DinoV2(dim, config.patch_size, config.tokenizer, config.checkpoint_activations)
        # Slot 0 is for the reference view, slot 1 for the others.
        self.camera_token = nn.Parameter(torch.randn(1, 2, 1, dim) * config.token_std)
        self.register_token = nn.Parameter(torch.randn(1, 2, REGISTERS, dim) * config.token_std)
        if config.query_head:
            self.ray_patch_embed = PatchEmbed(
                None, config.patch_size, RAY_CHANNELS, dim, norm_layer=nn.LayerNorm, strict_img_size=False
            )
            self.ray_cond_token = nn.Parameter(torch.randn(1, 1, SPECIAL_TOKENS, dim) * config.token_std)
        self.frame_blocks = nn.ModuleList(
            FrameBlock(dim, config.heads, config.layer_scale) for _ in range(config.depth)
        )
        self.global_blocks = nn.ModuleList(SceneBlock(config) for _ in range(config.depth))
        # On the CPU even if the parameters are made on the meta device, because loading weights does not fill them.
        mean, std = (torch.tensor(values, device="cpu").view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
        self.register_buffer("image_mean", mean, persistent=False)
        self.register_buffer("image_std", std, persistent=False)

    @property
    def mixers(self) -> list[SceneMixer]:
        """Those of the scene blocks, in order; all of one kind."""
        return [cast(SceneBlock, block).mixer for block in self.global_blocks]

    def forward(
        self,
        images: Tensor,
        operators: Sequence[Operator] = FIT_THEN_READ_ALL,
        state: SceneState | None = None,
        keep_state: bool = False,
        keep_levels: bool = True,
    ) -> Features:
        """Features of the four chosen levels.

        Args:
            images: pictures [B, S, 3, H, W] in [0, 1], or query rays [B, S, 9, H, W].
            operators: what the scene blocks do, in what order; they count views.
            state: what the scene blocks remember from before; by default nothing.
            keep_state: also return what they remember in the end.
            keep_levels: without it only the state is of interest.
        """
        scenes, views, channels = images.shape[:3]
        rays = channels == RAY_CHANNELS
        tokens = self._ray_tokens(images) if rays else self.picture_tokens(images, starts_scene=state is None)
        grid = self.grid(images, tokens)
        before = [None] * len(self.global_blocks) if state is None else state.layers
        recompute = self.checkpoint_activations and self.training
        levels: list[Tensor] = []
        after: list[LayerState] = []
        blocks = zip(self.frame_blocks, self.global_blocks, before, strict=True)
        for index, (frame_block, scene_block, memory) in enumerate(blocks):
            within_views = activation_checkpointing.run(frame_block, tokens, grid.rotation, recompute=recompute)
            scene_tokens = within_views.unflatten(0, (scenes, views)).flatten(1, 2)
            over_scene, memory = activation_checkpointing.run(
                scene_block, scene_tokens, grid, operators, memory, recompute=recompute
            )
            tokens = over_scene.unflatten(1, (views, -1)).flatten(0, 1)
            if keep_levels and index in self.feature_blocks:
                levels.append(torch.cat([within_views, tokens], dim=-1).unflatten(0, (scenes, views)))
            if keep_state and self.mixer_kind.remembers:
                after.append(memory)
        if not after:
            return Features(levels, None)
        cameras = torch.cat([within_views[:, 0], tokens[:, 0]], dim=-1).unflatten(0, (scenes, views))
        return Features(levels, self._remembered(after, cameras, state))

    def _remembered(self, layers: list[LayerState], cameras: Tensor, before: SceneState | None) -> SceneState:
        """`cameras`: camera tokens [B, S, 2C] of the views of this pass; those of the views before come first."""
        if not self.mixer_kind.keeps_camera_tokens:
            return SceneState(layers)
        earlier = [] if before is None or before.camera_tokens is None else [before.camera_tokens]
        return SceneState(layers, torch.cat([*earlier, cameras], dim=1))

    def grid(self, images: Tensor, tokens: Tensor) -> TokenGrid:
        """How the tokens [B * S, P, C] lie in images [B, *, *, H, W]; S need not be the number of views in `images`."""
        height, width = (side // self.patch_size for side in images.shape[-2:])
        positions = grid_positions(height, width, SPECIAL_TOKENS, device=tokens.device)
        rotation = rotation_at(positions, self.head_dim, torch.promote_types(tokens.dtype, torch.float32))
        return TokenGrid(len(tokens) // len(images), height, width, SPECIAL_TOKENS, rotation)

    def picture_tokens(self, images: Tensor, starts_scene: bool) -> Tensor:
        """[B * S, P, C], before any block; the reference view is the first one of a scene."""
        scenes, views = images.shape[:2]
        normalised = (self._narrowed(images) - self.image_mean) / self.image_std
        patches = self.patch_embed(normalised.flatten(0, 1))
        specials = torch.cat([self.camera_token, self.register_token], dim=2)[0]  # [2 slots, 5, C]
        slots = torch.ones(views, dtype=torch.long, device=images.device)
        if self.reference_view and starts_scene:
            slots[0] = 0
        return torch.cat([specials[slots].repeat(scenes, 1, 1), patches], dim=1)

    def _ray_tokens(self, rays: Tensor) -> Tensor:
        """[B * S, P, C], before any block."""
        patches = self.ray_patch_embed(self._narrowed(rays).flatten(0, 1))
        return torch.cat([self.ray_cond_token[0].expand(len(patches), -1, -1), patches], dim=1)

    def _narrowed(self, views: Tensor) -> Tensor:
        """Pictures or rays in float64, as NumPy makes them, in the precision of the model."""
        own = self.image_mean.dtype
        return views.to(own) if views.dtype.itemsize > own.itemsize else views
