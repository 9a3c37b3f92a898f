"""Weights to the Hugging Face hub, and from there into a folder."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from zipmap_pl.checkpoints.card import licence_of, model_card
from zipmap_pl.checkpoints.description import describe_manifest
from zipmap_pl.checkpoints.download import download
from zipmap_pl.checkpoints.folder import read_averages
from zipmap_pl.checkpoints.history import history_of
from zipmap_pl.checkpoints.hub import CONFIG, DEFAULT_FILE, HubId, hub_errors, look_up, parse_hub_id
from zipmap_pl.checkpoints.load import LoadedModel, load_model
from zipmap_pl.checkpoints.published import save_published, what_is_carried
from zipmap_pl.checkpoints.weight_file import OUR_KEY
from zipmap_pl.errors import UserError

CARD = "README.md"
MARK = ".zipmap-pull"  # in a folder that was pulled to: the repository


@dataclass(frozen=True)
class Package:
    """A folder whose files are what a repository gets, and the text of its model card."""

    folder: Path
    card: str


def load_to_share(checkpoint: Path, averages: bool) -> LoadedModel:
    """The model of a checkpoint or run folder, or its averages.

    Raises:
        UserError: as `load_model`; it holds no averages.
    """
    loaded = load_model(checkpoint)
    if averages:
        found = read_averages(loaded.folder)
        if found is None:
            raise UserError(f"{loaded.folder}: holds no averages (stage.ema.decay was 0); leave out --ema")
        loaded.model.load_state_dict(dict(found), strict=False)  # what is not trained has none
    return loaded


@contextmanager
def packed(checkpoint: Path, repository: str, averages: bool, licence: str | None) -> Iterator[Package]:
    """What is pushed, in a temporary folder: weights in the published layout, their settings, a model card.

    The same checkpoint gives the same bytes, so that the hub takes what it has already for sent.

    Raises:
        UserError: the checkpoint is damaged, holds no averages, or its weights have another licence.
    """
    require_repository(repository)
    loaded = load_to_share(checkpoint, averages)
    manifest, model = loaded.manifest, loaded.model
    history = history_of(manifest, averages)
    told = replace(describe_manifest(manifest, repository), history=history)
    card = model_card(told, repository, licence_of(told, licence))
    with tempfile.TemporaryDirectory(prefix="zipmap-push-") as temporary:
        folder = Path(temporary)
        save_published(model, folder / DEFAULT_FILE, manifest.pictures, history)
        settings = {OUR_KEY: what_is_carried(model, manifest.pictures, history)}
        (folder / CONFIG).write_text(json.dumps(settings, indent=2) + "\n")
        (folder / CARD).write_text(card)
        yield Package(folder, card)


def require_repository(text: str) -> None:
    """Raise a UserError if this is no owner/name."""
    hub_id = parse_hub_id(text)
    if hub_id is None or hub_id.repository != text:
        raise UserError(f"{text}: not a repository of the hub, expected owner/name")


def require_token(repository: str) -> None:
    """Raise a UserError if there is no token, before anything is made ready."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise UserError(f"{repository}: the hub wants a token to write; `hf auth login`, or set HF_TOKEN")


def send(package: Package, repository: str, private: bool) -> str:
    """Make the repository if it is not there, and send all files in one commit. Returns its address.

    What the hub has already is not sent again: after an interruption, the same command continues.

    Raises:
        UserError: the reasons of `hub_errors`.
    """
    from huggingface_hub import HfApi

    with hub_errors(repository):
        api = HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=package.folder, commit_message="Weights, by zipmap_pl")
    return str(address)


def pull(source: str, folder: Path) -> Path:
    """Fetch weights of the hub, with their settings and model card if there are any, into a folder. Returns the weights' path.

    An interrupted download resumes. The folder is new or empty, or an earlier pull of this repository.

    Raises:
        UserError: not an id, the folder holds something else, the reasons of `hub_errors`.
    """
    hub_id = parse_hub_id(source)
    if hub_id is None:
        raise UserError(f"{source}: not an id of the hub, expected owner/name or owner/name/file")
    look_up(hub_id)  # before there is a folder
    _take(folder, hub_id)
    for extra in (CONFIG, CARD):
        _download(hub_id.repository, extra, folder, needed=False)
    _download(hub_id.repository, hub_id.file, folder, needed=True)
    return folder / hub_id.file


def _take(folder: Path, hub_id: HubId) -> None:
    """Make the folder and mark it as ours; what else lies in a folder could be overwritten."""
    mark = folder / MARK
    before = mark.read_text().strip() if mark.is_file() else None
    if before not in (None, hub_id.repository):
        raise UserError(f"{folder}: holds weights of {before}; choose another --output")
    if before is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder}: not empty, expected a new folder or one that was pulled to; choose another --output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{hub_id.repository}\n")


def _download(repository: str, file: str, folder: Path, needed: bool) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    with hub_errors(f"{repository}/{file}"):
        try:
            download(repository, file, folder / file)
        except EntryNotFoundError:
            if needed:
                raise
