"""Dense head (DPT): four levels of patch features to one map per view, each view on its own."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from zipmap_pl.models.config import DenseHeadConfig
from zipmap_pl.models.heads.feature_pyramid import FusionPyramid, resize
from zipmap_pl.models.heads.uv_embedding import add_uv_embedding
from zipmap_pl.models.layers import activation_checkpointing

ENLARGED = 2  # levels whose maps grow on their way, so that they are smallest right after their projection


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
        """Four times patch features [N, h * w, 2C] -> raw maps [N, height, width, out_channels], some views at once.

        In training with recomputation a view keeps nothing but these features: its maps in the size of the picture are
        ten times as large.
        """
        recompute = self.checkpoint_activations and self.training
        chunks = zip(*(level.split(self.views_per_chunk) for level in levels), strict=True)
        maps = [
            activation_checkpointing.run(self._compact_and_decode, *chunk, height, width, recompute=recompute)
            for chunk in chunks
        ]
        return maps[0] if len(maps) == 1 else torch.cat(maps)

    def _compact_and_decode(self, *levels_and_size: Any) -> Tensor:
        *levels, height, width = levels_and_size
        grid = (height // self.patch_size, width // self.patch_size)
        return self._decode([self.compact(index, level, grid) for index, level in enumerate(levels)], height, width)

    def compact(self, level: int, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """The smallest tensor between the features of a level and the maps: [N, h * w, 2C] -> as `compact_shapes`."""
        height, width = grid
        maps = self.projects[level](self.norm(features).mT.unflatten(2, grid))
        maps = add_uv_embedding(maps, width / height)
        return maps if level < ENLARGED else self.scratch.reduce(level, self.resize_layers[level](maps))

    def compact_shapes(self, grid: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Channels, height and width of each of the four levels made compact, for h x w patches."""
        height, width = grid
        first, second = (cast(nn.Conv2d, project).out_channels for project in self.projects[:ENLARGED])
        features = self.scratch.features
        return [
            (first, height, width),
            (second, height, width),
            (features, height, width),
            (features, (height + 1) // 2, (width + 1) // 2),
        ]

    def decode(self, compacts: list[Tensor], height: int, width: int) -> Tensor:
        """Four compact levels of N views -> raw maps [N, height, width, out_channels], some views at once."""
        chunks = zip(*(level.split(self.views_per_chunk) for level in compacts), strict=True)
        maps = [self._decode(list(chunk), height, width) for chunk in chunks]
        return maps[0] if len(maps) == 1 else torch.cat(maps)

    def _decode(self, compacts: list[Tensor], height: int, width: int) -> Tensor:
        levels = [
            self.scratch.reduce(level, self.resize_layers[level](maps)) if level < ENLARGED else maps
            for level, maps in enumerate(compacts)
        ]
        full_size = add_uv_embedding(resize(self.scratch.fuse(levels), height, width), width / height)
        return self.scratch.output_conv2(full_size).permute(0, 2, 3, 1)
