"""Weights in the published layout, of a model small enough to write many times."""

import pytest
import torch
from published_weights import published_config

from zipmap_pl.models.zipmap import ZipMap


@pytest.fixture
def weights():
    """A state dict in the published layout; the test may change it."""
    torch.manual_seed(0)
    return ZipMap(published_config()).state_dict()
