"""The weights that a stage starts from: those of another run, published ones, or VGGT-1B's."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from zipmap_pl.checkpoints.folder import find_checkpoint, read_manifest, read_weights
from zipmap_pl.checkpoints.history import carried_history
from zipmap_pl.checkpoints.layout import as_float32, require_finite, require_fit
from zipmap_pl.checkpoints.published import means_published, read_published, take_terms
from zipmap_pl.checkpoints.recognition import mixer_of, unused_heads
from zipmap_pl.checkpoints.vggt import start_from_vggt
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.heads import table
from zipmap_pl.models.zipmap import ZipMap

# Besides heads: what a stage with queries has and the one before it lacks.
RAY_TOKENS = ("aggregator.ray_patch_embed.", "aggregator.ray_cond_token")

log = logging.getLogger(__name__)


@dataclass
class Origin:
    """What weights bring with them besides themselves.

    Attributes:
        trained_on: dataset slug -> licence, of the runs before; empty where the file does not say.
    """

    trained_on: dict[str, str] = field(default_factory=dict)


def start_from(model: ZipMap, source: str) -> Origin:
    """Fill `model` with the raw (not averaged) weights of `source`, and log what was copied, remapped and left fresh.

    Heads that only one of the two has start fresh or are left out; everything else has to fit. Softmax attention between
    views becomes test-time training as `start_from_vggt` says. The model carries on the terms of the weights.

    Args:
        model: changed in place, or not at all.
        source: a checkpoint or run folder, a .pt or .safetensors file, or owner/name[/file] on the Hugging Face hub.

    Raises:
        UserError: nothing there, damaged, or of another model.
    """
    if means_published(Path(source)):
        found = read_published(source)
        _fill(model, found.weights, found.name)
        take_terms(model, found)
        history = carried_history(found.carried, found.name)
        return Origin(dict(history.trained_on) if history else {})
    folder = find_checkpoint(Path(source))
    manifest = read_manifest(folder)
    _fill(model, read_weights(folder), str(folder))
    model.terms = manifest.terms
    return Origin(dict(manifest.trained_on))


def _fill(model: ZipMap, weights: dict[str, Tensor], name: str) -> None:
    unused = unused_heads(model.config)
    numbers = as_float32({key: tensor for key, tensor in weights.items() if not key.startswith(unused)}, name)
    require_finite(numbers, name)
    weights = weights | numbers
    if model.config.mixer_kind.from_attention and mixer_of(weights) not in (None, model.config.global_mixer):
        start_from_vggt(model, weights)
        return
    own = model.state_dict()
    fresh = [key for key in own if key.startswith(_lacking(weights))]
    dropped = [key for key in weights if key.startswith((*_lacking(own), *unused))]
    used = {key: tensor for key, tensor in own.items() if key not in fresh}
    given = {key: tensor for key, tensor in weights.items() if key not in dropped}
    require_fit(used, given, name, "use the model that it was trained with (model=...)")
    with torch.no_grad():
        for key, tensor in used.items():
            tensor.copy_(given[key])
    log.info(
        "starting from %s: %d tensors copied%s%s", name, len(used), _of("left fresh", fresh), _of("not used", dropped)
    )


def _lacking(tensors: Iterable[str]) -> tuple[str, ...]:
    """The heads that the tensors have nothing of, of those that may be gained or lost from one stage to the next.

    These are the camera heads and what the default model lacks: whole heads, never parts of them.
    """
    keys = list(tensors)
    cameras = (row.key for row in table.CAMERA_HEADS.values())
    dense = (row.key for row in table.DENSE_HEADS if not row.on(ModelConfig()))
    exchangeable = (*(f"{head}." for head in (*cameras, *dense)), *RAY_TOKENS)
    return tuple(head for head in exchangeable if not any(key.startswith(head) for key in keys))


def _of(what: str, keys: Iterable[str]) -> str:
    keys = list(keys)
    modules = sorted({".".join(key.split(".")[: 2 if key.startswith("aggregator.") else 1]) for key in keys})
    return f", {len(keys)} {what} ({', '.join(modules)})" if keys else ""
