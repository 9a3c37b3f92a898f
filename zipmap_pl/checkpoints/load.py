"""A model from a checkpoint folder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zipmap_pl.checkpoints.folder import Manifest, find_checkpoint, read_manifest, read_weights
from zipmap_pl.errors import UserError
from zipmap_pl.models.zipmap import ZipMap


@dataclass
class LoadedModel:
    """A model with its weights, and what its checkpoint says of it."""

    model: ZipMap
    manifest: Manifest
    folder: Path


def load_model(path: str | Path) -> LoadedModel:
    """Load the model of a checkpoint, of the newest checkpoint of a folder, or of a run.

    Returns a model in eval mode on the CPU. It takes no memory before the tensors of the file are known to fit.

    Raises:
        UserError: no checkpoint there, a damaged one, or one whose settings or tensors do not fit this version.
    """
    folder = find_checkpoint(Path(path))
    manifest = read_manifest(folder)
    with torch.device("meta"):
        model = ZipMap(manifest.model)
    model.load_state_dict(_fitting_weights(model, folder), assign=True)
    return LoadedModel(model.eval(), manifest, folder)


def load_weights(model: ZipMap, folder: Path) -> None:
    """Copy the tensors of a checkpoint folder into `model`; every key and shape has to fit, or it is a UserError."""
    model.load_state_dict(_fitting_weights(model, folder))


def _fitting_weights(model: ZipMap, folder: Path) -> dict[str, Tensor]:
    weights = read_weights(folder)
    found, wanted = ({key: tuple(t.shape) for key, t in tensors.items()} for tensors in (weights, model.state_dict()))
    misfits = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if misfits:
        key = misfits[0]
        raise UserError(
            f"{folder}: {len(misfits)} of its tensors do not fit the model; {key} has shape {found.get(key)}, "
            f"expected {wanted.get(key)}; use the model that it was trained with (model=...)"
        )
    return weights
