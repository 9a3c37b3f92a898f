"""What weights are, for people: of a checkpoint folder, a file, or a repository on the hub. Loads no more than it must."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, find_checkpoint, read_manifest
from zipmap_pl.checkpoints.history import History, carried_history, history_of
from zipmap_pl.checkpoints.hub import fetch_settings, look_up, parse_hub_id
from zipmap_pl.checkpoints.published import PUBLISHED_TERMS, REFERENCE_VIEW_OF_FILE, means_published, read_published
from zipmap_pl.checkpoints.recognition import is_vggt, model_config_of, parse_settings
from zipmap_pl.checkpoints.weight_file import WeightFile
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.zipmap import ZipMap

BASELINE = "_baseline"  # end of the names of figures of a predictor that knows nothing


@dataclass
class Description:
    """What is known of weights; None or empty is what they do not say.

    Attributes:
        name: of folder, file or repository.
        bytes: of all its files.
        model: sizes and variant.
        reference_view: whether the first view is the world frame.
        parameters: numbers in the model.
        pictures: what the model saw in training.
        history: how it was made.
        terms: licence of the weights.
    """

    name: str
    bytes: int
    model: ModelConfig | None = None
    reference_view: bool | None = None
    parameters: int | None = None
    pictures: SeenPictures | None = None
    history: History | None = None
    terms: str = ""


def describe(source: str) -> Description:
    """What `source` is: a checkpoint or run folder, a .pt or .safetensors file, or owner/name[/file] on the hub.

    Weights on the hub are not downloaded.

    Raises:
        UserError: nothing there, damaged, of another model; the hub's reasons.
    """
    path = Path(source)
    if not means_published(path):
        folder = find_checkpoint(path)
        return describe_manifest(read_manifest(folder), str(folder))
    if path.is_file():
        return _of_file(read_published(path), path.stat().st_size)
    return _of_repository(source)


def describe_manifest(manifest: Manifest, name: str) -> Description:
    """Of a checkpoint folder."""
    return Description(
        name,
        sum(facts.bytes for facts in manifest.files.values()),
        manifest.model,
        manifest.model.reference_view,
        count_parameters(manifest.model),
        manifest.pictures,
        history_of(manifest),
        manifest.terms,
    )


def count_parameters(config: ModelConfig) -> int:
    """Numbers in a model's weights; it takes no memory to count them."""
    with torch.device("meta"):
        return sum(value.numel() for value in ZipMap(config).parameters())


def _of_file(found: WeightFile, size: int) -> Description:
    """Of a file of weights, ours or a published one."""
    told = _told(found.carried, found.name, size)
    told.model = model_config_of(found.weights, told.model, found.name)
    told.parameters = sum(tensor.numel() for tensor in found.weights.values())
    if told.reference_view is None:
        told.reference_view = REFERENCE_VIEW_OF_FILE.get(Path(found.name).name, True if is_vggt(told.model) else None)
    return told


def _of_repository(source: str) -> Description:
    """Of a repository: what the hub lists, and the settings that `push` wrote."""
    hub_id = parse_hub_id(source)
    if hub_id is None:
        raise UserError(f"{source}: found no file here, and it is no owner/name or owner/name/file of the hub")
    facts = look_up(hub_id)
    told = _told(fetch_settings(hub_id.repository), str(hub_id), facts.bytes)
    told.parameters = count_parameters(told.model) if told.model else None
    if told.reference_view is None:
        told.reference_view = REFERENCE_VIEW_OF_FILE.get(hub_id.file)
    told.terms = f"{told.terms} (the hub says {facts.licence})" if told.terms else facts.licence
    return told


def _told(carried: dict, name: str, size: int) -> Description:
    """What settings next to the weights say. Files that say nothing are taken for published ones."""
    model = parse_settings(carried["model"], name, ModelConfig) if "model" in carried else None
    pictures = parse_settings(carried["pictures"], name, SeenPictures) if "pictures" in carried else None
    return Description(
        name,
        size,
        model,
        model.reference_view if model else None,
        pictures=pictures,
        history=carried_history(carried, name),
        terms=str(carried.get("terms", PUBLISHED_TERMS)),
    )


def rows(told: Description) -> Iterator[tuple[str, str]]:
    """Names and values, in the order of reading."""
    yield "size", f"{told.bytes / 1e6:.1f} MB"
    if told.parameters is not None:
        yield "parameters", f"{told.parameters / 1e6:.1f} million"
    if told.model is not None:
        yield from _rows_of_model(told.model)
    flag = {True: "yes", False: "no", None: "it does not say (--reference-view or --no-reference-view)"}
    yield "first view is the world", flag[told.reference_view]
    if told.pictures is not None:
        low, high = told.pictures.aspect
        views = "-".join(map(str, told.pictures.views))
        yield "trained with", f"images {told.pictures.width} wide, height / width {low:g} to {high:g}, {views} views"
    if told.history is not None:
        yield from _rows_of_history(told.history)
    yield "terms", told.terms or "none of earlier weights; those of its data"


def _rows_of_model(model: ModelConfig) -> Iterator[tuple[str, str]]:
    yield "model", f"{model.embed_dim} channels, {model.depth} block pairs, views mixed by {model.global_mixer}"
    on = {"local points": model.local_point_head, "queries": model.query_head}
    heads = ["cameras", "depth", *(name for name, there in on.items() if there), *model.extra_heads]
    yield "predicts", ", ".join(heads) + (" (views one by one, too)" if model.streaming else "")


def _rows_of_history(history: History) -> Iterator[tuple[str, str]]:
    skipped = f", {history.skipped} of them skipped" if history.skipped else ""
    averages = "; averages of the weights" if history.averages else ""
    yield "stage", f"{history.stage}, {history.step} steps{skipped}{averages}"
    commit = f", commit {history.commit}" if history.commit else ""
    yield "made by", f"zipmap_pl {history.zipmap_pl_version}{commit}, torch {history.torch_version}"
    for slug, licence in history.trained_on.items():
        yield f"trained on {slug}", licence
    if history.validation is not None:
        where = f"{history.validation.scenes} scenes, step {history.validation.step}"
        for name, value, baseline in figures(history):
            known = "" if baseline is None else f"; {baseline:.4g} is the baseline"
            yield name, f"{value:.4g} ({where}{known})"


def figures(history: History) -> Iterator[tuple[str, float, float | None]]:
    """Name, value, and that of the baseline, of each figure of the validation."""
    values = history.validation.values if history.validation else {}
    for name in (name for name in values if not name.endswith(BASELINE)):
        yield name, values[name], values.get(name + BASELINE)
