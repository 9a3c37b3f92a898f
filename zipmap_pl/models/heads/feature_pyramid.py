"""RefineNet fusion of four feature maps from coarse to fine, as in DPT."""

import torch.nn.functional as F
from torch import Tensor, nn


def resize(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, corners aligned: [N, C, *, *] -> [N, C, height, width]."""
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Two convolutions around a skip that carries the *rectified* input (the published weights need it)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, features, h, w] -> the same shape."""
        rectified = x.relu()
        return self.conv2(self.conv1(rectified).relu()) + rectified


class FusionBlock(nn.Module):
    """Adds a finer map to what comes from below, refines, and enlarges to the next size."""

    def __init__(self, features: int, lateral: bool = True) -> None:
        super().__init__()
        self.resConfUnit1 = ResidualConvUnit(features) if lateral else None
        self.resConfUnit2 = ResidualConvUnit(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor, lateral: Tensor | None, height: int, width: int) -> Tensor:
        """[N, features, h, w] (twice) -> [N, features, height, width]."""
        if self.resConfUnit1 is not None and lateral is not None:
            x = x + self.resConfUnit1(lateral)
        return self.out_conv(resize(self.resConfUnit2(x), height, width))


class FusionPyramid(nn.Module):
    """The fusion of all levels and the last convolutions. Parameter names as published."""

    def __init__(self, level_channels: list[int], features: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.features = features
        first, second, third, fourth = level_channels
        self.layer1_rn = nn.Conv2d(first, features, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(second, features, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(third, features, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(fourth, features, 3, padding=1, bias=False)
        self.refinenet1 = FusionBlock(features)
        self.refinenet2 = FusionBlock(features)
        self.refinenet3 = FusionBlock(features)
        self.refinenet4 = FusionBlock(features, lateral=False)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, out_channels, 1),
        )

    def reduce(self, level: int, maps: Tensor) -> Tensor:
        """The maps [N, *, h, w] of a level (0 is the finest) -> [N, features, h, w]."""
        return (self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn)[level](maps)

    def fuse(self, levels: list[Tensor]) -> Tensor:
        """Four reduced maps, fine to coarse -> one [N, features / 2, 2h, 2w], with h x w the size of the finest."""
        first, second, third, fourth = levels
        finest = (2 * first.shape[-2], 2 * first.shape[-1])
        x = self.refinenet4(fourth, None, *third.shape[-2:])
        x = self.refinenet3(x, third, *second.shape[-2:])
        x = self.refinenet2(x, second, *first.shape[-2:])
        x = self.refinenet1(x, first, *finest)
        return self.output_conv1(x)
