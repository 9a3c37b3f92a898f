"""A model from a checkpoint folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zipmap_pl.checkpoints.folder import Manifest, find_checkpoint, read_manifest, read_weights
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.zipmap import ZipMap


@dataclass
class LoadedModel:
    """A model with its weights, and what its checkpoint says of it."""

    model: ZipMap
    config: ModelConfig
    manifest: Manifest
    folder: Path


def load_model(path: str | Path) -> LoadedModel:
    """Load the model of a checkpoint, of the newest checkpoint of a folder, or of a run.

    Returns a model in eval mode on the CPU.

    Raises:
        UserError: no checkpoint there, a damaged one, or one whose settings or tensors do not fit this version.
    """
    folder = find_checkpoint(Path(path))
    manifest = read_manifest(folder)
    config = parse_model_config(manifest.model, folder)
    model = ZipMap(config)
    load_weights(model, folder)
    return LoadedModel(model.eval(), config, manifest, folder)


def load_weights(model: ZipMap, folder: Path) -> None:
    """Copy the tensors of a checkpoint folder into `model`; every key and shape has to fit."""
    try:
        model.load_state_dict(read_weights(folder))
    except RuntimeError as error:
        raise UserError(f"{folder}: its tensors do not fit the model: {error}") from error


def parse_model_config(settings: dict, source: Path) -> ModelConfig:
    """A `ModelConfig` from plain data of a file; unknown keys, wrong types and interpolations are refused.

    Raises:
        UserError: naming `source` and the key.
    """
    if "${" in str(settings):
        raise UserError(
            f"{source}: its model settings hold an interpolation (`${{`), plain values are expected; do not trust this file"
        )
    try:
        return cast(ModelConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), settings)))
    except OmegaConfBaseException as error:
        raise UserError(f"{source}: model settings: {str(error).splitlines()[0]}") from error
