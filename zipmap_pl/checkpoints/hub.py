"""Files from the Hugging Face hub: cached, and from the cache alone with HF_HUB_OFFLINE=1."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zipmap_pl.checkpoints.weight_file import OUR_KEY, SUFFIXES, require_plain_values
from zipmap_pl.errors import UserError

DEFAULT_FILES = {"coast01/ZipMap": "checkpoint_aff_inv.pt"}  # others: DEFAULT_FILE
DEFAULT_FILE = "model.safetensors"
CONFIG = "config.json"
EXPECTED = "expected a file here, or owner/name or owner/name/file on the Hugging Face hub"


@dataclass(frozen=True)
class HubId:
    """A file of a repository on the hub."""

    repository: str  # owner/name
    file: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.file}"


def parse_hub_id(text: str) -> HubId | None:
    """What `owner/name` or `owner/name/file` means, or None if it is neither; `a/b.pt` is a path, not a repository."""
    match = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?:/(\w[^:\\]*))?", text)
    if match is None or (match[2] is None and text.endswith(SUFFIXES)) or ".." in text:
        return None
    return HubId(match[1], match[2] or DEFAULT_FILES.get(match[1], DEFAULT_FILE))


def fetch(hub_id: HubId) -> Path:
    """The file on this machine, downloaded if the cache has none. Raises UserError: not to be had, in one line why."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(hub_id.repository, hub_id.file))
    except LocalEntryNotFoundError as error:  # offline mode or no connection
        raise UserError(
            f"{hub_id}: found neither a file here nor one in the hub's cache, and the hub is out of reach; {EXPECTED}; "
            "fetch it on a machine with a connection, with HF_HUB_OFFLINE unset"
        ) from error
    except (OSError, EntryNotFoundError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{hub_id}: found no file here, and the hub does not give it ({reason}); {EXPECTED}") from error


def fetch_settings(repository: str) -> dict[str, Any]:
    """What a repository's config.json says under our name; empty without one.

    Raises:
        UserError: it is no JSON object, or holds `_target_` or an interpolation.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    name = f"{repository}/{CONFIG}"
    try:
        text = Path(hf_hub_download(repository, CONFIG)).read_text()
    except EntryNotFoundError:
        return {}
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise UserError(f"{name}: not readable as JSON ({error}); fetch it again") from error
    require_plain_values(str(settings), name)  # not the text, in which JSON can write every letter as a number
    carried = settings.get(OUR_KEY, {}) if isinstance(settings, dict) else None
    if not isinstance(carried, dict):
        raise UserError(f"{name}: expected a JSON object, with settings by name under {OUR_KEY} if it has that")
    return carried
