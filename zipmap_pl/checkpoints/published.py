"""Published weights in and out: ZipMap and VGGT-1B, from a file, a state dict or the Hugging Face hub."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from zipmap_pl.checkpoints.folder import MANIFEST, WEIGHTS, SeenPictures
from zipmap_pl.checkpoints.history import HISTORY, History
from zipmap_pl.checkpoints.hub import EXPECTED, fetch, fetch_settings, parse_hub_id
from zipmap_pl.checkpoints.layout import as_float32, require_fit
from zipmap_pl.checkpoints.recognition import is_vggt, model_config_of, parse_settings, unused_heads
from zipmap_pl.checkpoints.weight_file import SUFFIXES, WeightFile, read_weight_file, unwrapped, write_weight_file
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.zipmap import ZipMap

# The four released files have keys and shapes in common; which special tokens they use is told by the name alone.
REFERENCE_VIEW_OF_FILE = {
    "checkpoint_aff_inv.pt": False,
    "checkpoint_with_ref_view.pt": True,
    "checkpoint_online.pt": False,
    "checkpoint_state_query.pt": True,
}
PUBLISHED_TERMS = (
    "the published weights of ZipMap and VGGT-1B, and what is trained from them, are under CC BY-NC 4.0: "
    "not for commercial use"
)

log = logging.getLogger(__name__)


def from_published(source: str | Path | Mapping[str, Any], reference_view: bool | None = None) -> ZipMap:
    """The model of published weights, in eval mode, in float32, on the CPU.

    Sizes and heads are recognised from keys and shapes. The terms of the weights are logged.

    Args:
        source: a .pt or .safetensors file, `owner/name` or `owner/name/file` on the Hugging Face hub, or a state dict,
            of which the model gets a copy.
        reference_view: whether the first view is the world frame. The tensors do not tell; needed where neither the
            file nor its published name does.

    Raises:
        UserError: no such file, damaged, not of these models, or the flag is missing or contradicts the file.
    """
    return model_of(read_published(source), reference_view)


def model_of(found: WeightFile, reference_view: bool | None = None) -> ZipMap:
    """As `from_published`, of tensors that are read already and that the model may keep."""
    config = _config_of(found, reference_view)
    unused = unused_heads(config) if is_vggt(config) else ()
    used = {key: value for key, value in found.weights.items() if not key.startswith(unused)}
    weights = as_float32(used, found.name)
    with torch.device("meta"):
        model = ZipMap(config)
    require_fit(model.state_dict(), weights, found.name, "expected ZipMap or VGGT-1B weights, every tensor of them")
    model.load_state_dict(weights, assign=True)
    take_terms(model, found)
    return model.eval()


def means_published(path: Path) -> bool:
    """Whether a user means published weights by that, a file or a name on the hub, and not a checkpoint folder."""
    if path.exists() or path.suffix in SUFFIXES:
        return not path.is_dir()
    return not _is_local(path) and parse_hub_id(str(path)) is not None


def _is_local(path: Path) -> bool:
    """Return True for a name below a folder that is here, even if the rest is mistyped: it is not sent to the hub."""
    return Path(path.parts[0]).is_dir() if len(path.parts) > 1 else False


def read_published(source: str | Path | Mapping[str, Any]) -> WeightFile:
    """Tensors by published keys, of whatever `from_published` takes, not yet looked at. Raises UserError if there are none."""
    if isinstance(source, Mapping):
        given = unwrapped(source, "state dict")
        return replace(given, weights={key: tensor.detach().clone() for key, tensor in given.weights.items()})
    path = Path(source)
    if path.is_file():
        # Without the settings of its folder the tensors would be taken for published ones.
        if path.name == WEIGHTS and (path.parent / MANIFEST).is_file():
            raise UserError(f"{path}: found a part of a checkpoint folder, {EXPECTED}; load_model loads {path.parent}")
        return read_weight_file(path)
    if path.is_dir():
        raise UserError(
            f"{path}: found a folder, {EXPECTED}; checkpoint folders of a training are loaded by load_model"
        )
    hub_id = None if _is_local(path) else parse_hub_id(str(source))
    if hub_id is None:
        raise UserError(f"{source}: found no file, {EXPECTED}")
    found = read_weight_file(fetch(hub_id))
    carried = found.carried or fetch_settings(hub_id.repository)
    return WeightFile(str(hub_id), found.weights, carried)


def _config_of(found: WeightFile, asked: bool | None) -> ModelConfig:
    """Sizes from the tensors; what they do not tell from the file, its name or the caller."""
    settings = parse_settings(found.carried["model"], found.name, ModelConfig) if "model" in found.carried else None
    config = model_config_of(found.weights, settings, found.name)
    by_kind = True if is_vggt(config) else None
    told = settings.reference_view if settings else REFERENCE_VIEW_OF_FILE.get(Path(found.name).name, by_kind)
    if told is None and asked is None:
        raise UserError(
            f"{found.name}: does not tell whether its first view is the reference; say so with reference_view=True or "
            "False (--reference-view or --no-reference-view)"
        )
    if None not in (told, asked) and told != asked:
        raise UserError(
            f"{found.name}: carries reference_view={told}, found reference_view={asked} asked for; leave it out, or load "
            "the weights that were trained so"
        )
    return replace(config, reference_view=bool(asked if told is None else told))


def take_terms(model: ZipMap, found: WeightFile) -> None:
    """Let the model carry the terms of its weights, and log them. Files that say nothing are taken for published ones."""
    model.terms = str(found.carried.get("terms", PUBLISHED_TERMS))
    if model.terms:
        log.warning("%s: %s", found.name, model.terms)


def save_published(
    model: ZipMap, path: str | Path, pictures: SeenPictures | None = None, history: History | None = None
) -> None:
    """Write a model in the published layout to a .pt or .safetensors file.

    Every tensor is kept bit for bit. What the tensors do not tell (`reference_view`, further settings, terms, the
    `pictures` of the training, the `history` of the weights) goes next to them, where other programs do not mind it and
    `from_published` finds it.

    Raises:
        UserError: another suffix.
    """
    write_weight_file(Path(path), model.state_dict(), what_is_carried(model, pictures, history))


def what_is_carried(model: ZipMap, pictures: SeenPictures | None, history: History | None) -> dict[str, Any]:
    """What the tensors of a model do not tell, as plain values."""
    parts = {"pictures": pictures, HISTORY: history}
    told = {name: asdict(part) for name, part in parts.items() if part is not None}
    return {"model": asdict(model.config), "terms": model.terms, **told}
