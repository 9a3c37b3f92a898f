"""Fixed sinusoidal embedding of where on the picture a feature lies, added to the maps of the dense heads."""

import torch
from torch import Tensor

BASE_FREQUENCY = 100.0
STRENGTH = 0.1


def add_uv_embedding(maps: Tensor, aspect: float) -> Tensor:
    """Maps [N, C, h, w] plus the embedding: the first half of the channels encodes the column, the second the row.

    Args:
        maps: C a multiple of 4.
        aspect: width / height of the whole picture, whose half diagonal has length one.
    """
    channels, height, width = maps.shape[1:]
    diagonal = (1 + aspect**2) ** 0.5
    columns = _axis_embedding(width, aspect / diagonal, channels // 2, maps.device)
    rows = _axis_embedding(height, 1 / diagonal, channels // 2, maps.device)
    embedding = torch.cat(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)],
    )
    return maps + embedding.to(maps.dtype)


def _axis_embedding(count: int, span: float, channels: int, device: torch.device) -> Tensor:
    """[channels, count], float32 from float64: sines, then cosines, of the pixel centres times falling frequencies."""
    end = span * (count - 1) / count
    centres = torch.linspace(-end, end, count, dtype=torch.float64, device=device)
    half = channels // 2
    exponents = torch.arange(half, dtype=torch.float64, device=device) / half
    angles = BASE_FREQUENCY ** -exponents[:, None] * centres
    return STRENGTH * torch.cat([angles.sin(), angles.cos()]).float()
