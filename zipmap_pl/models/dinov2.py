"""DINOv2 vision transformer with registers: the tokenizer of a view.

The blocks are timm's; the position step is our own, because timm folds the class token's position away in its register
models and could not give back the published tensors.
"""

from functools import partial

import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from zipmap_pl.models.config import TokenizerConfig
from zipmap_pl.models.layers import activation_checkpointing

INIT_STD = 0.02
TOKEN_INIT_STD = 1e-6


class DinoV2(nn.Module):
    """Patch tokens of normalised pictures. Parameter names as published."""

    def __init__(self, dim: int, patch_size: int, config: TokenizerConfig, checkpoint_activations: bool) -> None:
        super().__init__()
        self.grid = config.position_grid
        self.checkpoint_activations = checkpoint_activations
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.patch_embed = PatchEmbed(None, patch_size, 3, dim, strict_img_size=False)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * TOKEN_INIT_STD)
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + self.grid**2, dim))
        self.register_tokens = (
            nn.Parameter(torch.randn(1, config.registers, dim) * TOKEN_INIT_STD) if config.registers else None
        )
        # For masked pre-training only; kept because it is part of the published weights.
        self.mask_token = nn.Parameter(torch.zeros(1, dim), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(dim, config.heads, qkv_bias=True, init_values=config.layer_scale, norm_layer=norm)  # type: ignore[arg-type]
            for _ in range(config.depth)
        )
        self.norm = norm(dim)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=INIT_STD)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [N, 3, H, W], mean and deviation removed -> normalised patch tokens [N, h * w, C]."""
        patch = self.patch_embed.patch_size[0]
        height, width = images.shape[-2] // patch, images.shape[-1] // patch
        patches = self.patch_embed(images)
        count = len(patches)
        class_position, patch_positions = self._positions(height, width, patches.dtype)
        tokens = [(self.cls_token + class_position).expand(count, -1, -1)]
        if self.register_tokens is not None:  # these have no position
            tokens.append(self.register_tokens.expand(count, -1, -1))
        x = torch.cat([*tokens, patches + patch_positions], dim=1)
        for block in self.blocks:
            x = activation_checkpointing.run(block, x, recompute=self.checkpoint_activations and self.training)
        return self.norm(x[:, -height * width :])

    def _positions(self, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Positions of the class token [1, 1, C] and of the patches [1, height * width, C], resized to this grid."""
        class_position, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        if (height, width) == (self.grid, self.grid):
            return class_position, patches
        grid = patches.unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2).float()
        resized = F.interpolate(grid, size=(height, width), mode="bicubic", antialias=True)
        return class_position, resized.flatten(2).mT.to(dtype)
