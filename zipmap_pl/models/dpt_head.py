"""Dense head (DPT): four levels of patch features to one map per view, each view on its own."""

import torch
from torch import Tensor, nn

from zipmap_pl.models.config import DenseHeadConfig
from zipmap_pl.models.feature_fusion import FusionPyramid, resize
from zipmap_pl.models.uv_embedding import add_uv_embedding


class DPTHead(nn.Module):
    """Raw maps with `out_channels` channels at the picture's size. Parameter names as published."""

    def __init__(
        self, dim: int, patch_size: int, out_channels: int, config: DenseHeadConfig, checkpoint_activations: bool
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.views_per_chunk = config.views_per_chunk
        self.checkpoint_activations = checkpoint_activations
        first, second, third, fourth = channels = list(config.level_channels)
        self.norm = nn.LayerNorm(dim)
        self.projects = nn.ModuleList(nn.Conv2d(dim, c, 1) for c in channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, stride=2, padding=1),
            ]
        )
        self.scratch = FusionPyramid(channels, config.features, config.hidden, out_channels)

    def forward(self, levels: list[Tensor], height: int, width: int) -> Tensor:
        """Four times patch features [N, h * w, 2C] -> raw maps [N, height, width, out_channels], some views at once."""
        chunks = zip(*(level.split(self.views_per_chunk) for level in levels), strict=True)
        maps = [self._decode(list(chunk), height, width) for chunk in chunks]
        return (maps[0] if len(maps) == 1 else torch.cat(maps)).permute(0, 2, 3, 1)

    def _decode(self, levels: list[Tensor], height: int, width: int) -> Tensor:
        """[views, out_channels, height, width]"""
        aspect = width / height
        grid = (height // self.patch_size, width // self.patch_size)
        maps = []
        for level, project, resize_layer in zip(levels, self.projects, self.resize_layers, strict=True):
            features = self.norm(level).mT.unflatten(2, grid)
            maps.append(resize_layer(add_uv_embedding(project(features), aspect)))
        fused = self.scratch.fuse(maps, recompute=self.checkpoint_activations and self.training)
        full_size = add_uv_embedding(resize(fused, height, width), aspect)
        return self.scratch.output_conv2(full_size)
