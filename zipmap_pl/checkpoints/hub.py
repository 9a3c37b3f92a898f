"""Files from the Hugging Face hub: cached, and from the cache alone with HF_HUB_OFFLINE=1."""

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zipmap_pl.checkpoints.weight_file import OUR_KEY, SUFFIXES, require_plain_values
from zipmap_pl.errors import NO_ROOM, UserError

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


@dataclass(frozen=True)
class Listed:
    """A file as the hub lists it: its size, and the licence of its repository."""

    bytes: int
    licence: str


def look_up(hub_id: HubId) -> Listed:
    """Ask the hub for a file without fetching it. Raises UserError: not there, and the reasons of `hub_errors`."""
    from huggingface_hub import HfApi

    with hub_errors(str(hub_id)):
        info = HfApi().model_info(hub_id.repository, files_metadata=True)
    sizes = {file.rfilename: file.size for file in info.siblings or []}
    if hub_id.file not in sizes:
        weights = ", ".join(name for name in sizes if name.endswith(SUFFIXES)) or "no weights"
        raise UserError(f"{hub_id}: the repository has no such file; it has {weights}")
    licence = info.card_data.get("license") if info.card_data else None
    return Listed(sizes[hub_id.file] or 0, f"licence {licence}" if licence else "no licence")


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what the hub's client raises inside into a UserError that says in one line why, and what to do."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        yield
    except (OSError, ValueError, EntryNotFoundError, network_errors()) as error:
        raise UserError(f"{name}: {_reason(error)}") from error


def network_errors() -> Any:
    """The class of what the client's library for HTTP raises; which library that is differs between versions of the client."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__mro__[1]


def _reason(error: Exception) -> str:
    """Why the hub did not do it, and what to do."""
    from huggingface_hub import errors, get_token

    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    by_kind: tuple[tuple[type[Exception], str], ...] = (
        (
            errors.GatedRepoError,
            "its owner wants its terms accepted; do so on the hub's page, with the token's account",
        ),
        (
            errors.RepositoryNotFoundError,
            f"no such repository, or one that is hidden from you; check the id{_log_in()}",
        ),
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set; unset it"),
        (errors.LocalTokenNotFoundError, f"the hub wants a token{_log_in()}"),
        (errors.LocalEntryNotFoundError, "the hub is out of reach; check the connection, then the same command again"),
        (errors.EntryNotFoundError, "the repository has no such file; see its page on the hub"),
        (errors.HFValidationError, f"not an id of the hub ({said}); expected owner/name"),
    )
    for kind, reason in by_kind:
        if isinstance(error, kind):
            return reason
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 0
        if status == 401:
            return f"the hub {'does not know the token' if get_token() else 'wants a token'}{_log_in()}"
        if status == 403:
            return "no right to do so; take a token with that right (to push: write), of an account that has access"
        return f"the hub answered {said}; try the same command later"
    if isinstance(error, OSError) and error.errno in NO_ROOM | {errno.EACCES, errno.EROFS}:
        return f"{error.strerror} ({error.filename or 'writing'}); make room, or choose another folder"
    if isinstance(error, ValueError):
        return f"the hub's client refuses it ({said})"
    return f"the hub is out of reach ({said}); check the connection, then the same command again"


def _log_in() -> str:
    return ", and log in: `hf auth login`, or set HF_TOKEN"
