"""A hub in a folder, which stands in for the client of the Hugging Face hub at the functions that the package calls."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import ModelCard, errors


class FakeHub:
    """Repositories are folders below `folder`.

    Attributes:
        failure: raised by the next calls, until it is None again.
        cut_after: bytes of a download after which the connection breaks, once; None: it holds.
        calls: names of the functions that were called.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failure: Exception | None = None
        self.cut_after: int | None = None
        self.calls: list[str] = []

    def stand_in(self, patch: pytest.MonkeyPatch, token: str | None = "hf_secret") -> None:
        """Take the place of the client, with this token or none."""
        patch.setattr(huggingface_hub, "HfApi", lambda: self)
        patch.setattr(huggingface_hub, "hf_hub_download", self.hf_hub_download)
        patch.setattr(huggingface_hub, "get_token", lambda: token)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
        self._called("create_repo")
        (self.folder / repository).mkdir(parents=True, exist_ok=exist_ok)
        return f"https://hub.example/{repository}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self._called("upload_folder")
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)

    def model_info(self, repository: str, *, files_metadata: bool) -> SimpleNamespace:
        self._called("model_info")
        folder = self.folder / repository
        if not folder.is_dir():
            raise http_error(errors.RepositoryNotFoundError, 404)
        files = [SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in folder.iterdir()]
        card = ModelCard.load(folder / "README.md").data if (folder / "README.md").is_file() else None
        return SimpleNamespace(siblings=files, card_data=card)

    def hf_hub_download(self, repository: str, file: str, local_dir: Path | None = None) -> str:
        self._called("hf_hub_download")
        source = self.folder / repository / file
        if not source.is_file():
            raise http_error(errors.RemoteEntryNotFoundError, 404)
        if local_dir is None:
            return str(source)
        if self.cut_after is not None and file.endswith(".safetensors"):
            cut, self.cut_after = self.cut_after, None
            partial = local_dir / ".cache" / "huggingface" / f"{file}.incomplete"
            partial.parent.mkdir(parents=True)
            partial.write_bytes(source.read_bytes()[:cut])
            raise ConnectionResetError("Connection reset by peer")
        return str(shutil.copy(source, local_dir / file))


def http_error(kind: Callable[..., Exception], status: int) -> Exception:
    """An error of the hub's client, as the client raises it for an answer of that status."""
    return kind(f"{status} of the hub", response=errors.Response(status, request=SimpleNamespace()))
