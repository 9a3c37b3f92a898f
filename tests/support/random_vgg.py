"""Weights of VGG16 as torchvision lays them out, with random numbers in them: LPIPS without a download."""

from pathlib import Path

import torch
from torch import Tensor


def random_vgg(seed: int = 0) -> dict[str, Tensor]:
    """The convolutions, scaled so that features neither die nor explode."""
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for place, before, after in zip(places, channels, channels[1:], strict=False):
        weight = torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
        weights |= {f"features.{place}.weight": weight, f"features.{place}.bias": torch.zeros(after)}
    return weights


def write_random_vgg(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(random_vgg(), path)
    return path
