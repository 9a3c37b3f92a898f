"""A model from a checkpoint folder, or from whatever holds one."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, find_checkpoint, read_manifest, read_weights
from zipmap_pl.checkpoints.layout import as_float32, require_finite, require_fit
from zipmap_pl.checkpoints.published import means_published, model_of, read_published
from zipmap_pl.checkpoints.recognition import parse_settings
from zipmap_pl.checkpoints.weight_file import WeightFile
from zipmap_pl.errors import UserError
from zipmap_pl.models.zipmap import ZipMap

PUBLISHED_PICTURES = SeenPictures(width=518, aspect=[0.33, 1.0], views=[2, 48])


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
    model.terms = manifest.terms
    return LoadedModel(model.eval(), manifest, folder)


def load_any(path: Path, reference_view: bool | None = None) -> tuple[ZipMap, SeenPictures]:
    """A model and what it saw in training, from a checkpoint or run folder or from published weights.

    Published weights are a file, or owner/name[/file] on the Hugging Face hub, see `means_published`.

    Raises:
        UserError: as `load_model` and `from_published` say, or `reference_view` contradicts the checkpoint.
    """
    if means_published(path):
        found = read_published(path)
        return model_of(found, reference_view), _pictures_of(found)
    loaded = load_model(path)
    carried = loaded.manifest.model.reference_view
    if reference_view not in (None, carried):
        raise UserError(
            f"{loaded.folder}: carries reference_view={carried}, found the opposite asked for; leave it out"
        )
    return loaded.model, loaded.manifest.pictures


def _pictures_of(found: WeightFile) -> SeenPictures:
    """What the weights of a file saw in training, as the file says; else that of the published ones."""
    if "pictures" not in found.carried:
        return PUBLISHED_PICTURES
    pictures = parse_settings(found.carried["pictures"], found.name, SeenPictures)
    if pictures.width < 1 or len(pictures.aspect) != 2 or not 0 < pictures.aspect[0] <= pictures.aspect[1]:
        raise UserError(f"{found.name}: found {pictures}, expected a width and the lowest and highest height / width")
    return pictures


def load_weights(model: ZipMap, folder: Path) -> None:
    """Copy the tensors of a checkpoint folder into `model`; every key and shape has to fit, or it is a UserError, and
    every number to be finite.

    The model carries on the terms of the weights.
    """
    model.load_state_dict(_fitting_weights(model, folder))
    model.terms = read_manifest(folder).terms


def _fitting_weights(model: ZipMap, folder: Path) -> dict[str, Tensor]:
    weights = as_float32(read_weights(folder), str(folder))
    require_fit(model.state_dict(), weights, str(folder), "use the model that it was trained with (model=...)")
    require_finite(weights, str(folder))
    return weights
