"""Rotary position embedding on the patch grid: half of a head's channels turn with the row, half with the column."""

from typing import NamedTuple

import torch
from torch import Tensor

BASE_FREQUENCY = 100.0


class Rotation(NamedTuple):
    """Cosines and signed sines of P tokens, each [P, head_dim]."""

    cos: Tensor
    sin: Tensor


def grid_positions(height: int, width: int, specials: int, device: torch.device | None = None) -> Tensor:
    """Row and column of every token, [specials + height * width, 2]: special tokens at (0, 0), patches from (1, 1)."""
    rows = torch.arange(1, height + 1, device=device)
    columns = torch.arange(1, width + 1, device=device)
    patches = torch.cartesian_prod(rows, columns)
    return torch.cat([patches.new_zeros(specials, 2), patches])


def rotation_at(positions: Tensor, head_dim: int, dtype: torch.dtype = torch.float32) -> Rotation:
    """The rotation of tokens at integer positions [P, 2]; frequencies 100^(-2j / (head_dim / 2)) on each axis."""
    quarter = head_dim // 4
    exponents = torch.arange(quarter, device=positions.device, dtype=dtype) / quarter
    angles = positions.to(dtype).unsqueeze(-1) * BASE_FREQUENCY**-exponents  # [P, axis, quarter]
    cos, sin = angles.cos(), angles.sin()
    return Rotation(torch.cat([cos, cos], -1).flatten(1), torch.cat([-sin, sin], -1).flatten(1))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn channels [..., P, head_dim]; per axis, channel j is paired with channel j + head_dim / 4."""
    swapped = x.unflatten(-1, (2, 2, -1)).flip(-2).flatten(-3)
    return x * rotation.cos + swapped * rotation.sin
