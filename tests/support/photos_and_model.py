"""What `zipmap reconstruct` is given: two photos, and the checkpoint of an untrained model."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, save_checkpoint
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

SMALL = ["model.embed_dim=48", "model.tokenizer.depth=1", "model.ttt.head_dim=16"]


def untrained_checkpoint(folder: Path, *overrides: str) -> Path:
    """The checkpoint folder of a small model, below `folder`. `overrides`: further settings of the model."""
    torch.manual_seed(0)
    config = compose([*SMALL, *overrides]).model
    manifest = Manifest(1, 0, "demo", config, SeenPictures(56, [0.5, 1.0], [2, 4]), {})
    return save_checkpoint(folder / "checkpoints", manifest, ZipMap(config).state_dict(), {})


def two_photos(folder: Path) -> Path:
    """A new folder `photos` with two photos of two sizes, one of them portrait."""
    photos = folder / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a.jpg", (90, 120)), ("b.png", (120, 90))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(photos / name)
    return photos
