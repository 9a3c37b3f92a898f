"""A hub in a folder, which stands in for the client of the Hugging Face hub at the functions that the package calls.

Files are downloaded from a server on this machine, by the client's own functions.
"""

import hashlib
import re
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import ModelCard, errors


class FakeHub:
    """Repositories are folders below `folder`.

    Attributes:
        failure: raised by the next calls, until it is None again.
        cut_at: byte of each file at which connections break; None: they hold.
        wrong: give out other bytes than the checksum names.
        ranges: first byte of each download of weights.
        calls: names of the functions that were called.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failure: Exception | None = None
        self.cut_at: int | None = None
        self.wrong = False
        self.ranges: list[int] = []
        self.calls: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()

    def stand_in(self, patch: pytest.MonkeyPatch, token: str | None = "hf_secret") -> None:
        """Take the place of the client, with this token or none."""
        patch.setattr(huggingface_hub, "HfApi", lambda: self)
        patch.setattr(huggingface_hub, "hf_hub_download", self.hf_hub_download)
        patch.setattr(huggingface_hub, "hf_hub_url", self.hf_hub_url)
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

    def hf_hub_download(self, repository: str, file: str) -> str:
        self._called("hf_hub_download")
        source = self.folder / repository / file
        if not source.is_file():
            raise http_error(errors.RemoteEntryNotFoundError, 404)
        return str(source)

    def hf_hub_url(self, repository: str, file: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{repository}/{file}"


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            data, start = self.answer()
            end = len(data) if hub.cut_at is None else max(hub.cut_at, start)
            self.close_connection = True
            self.wfile.write(data[start:end])

        def answer(self) -> tuple[bytes, int]:
            file = hub.folder / self.path.lstrip("/")
            data = file.read_bytes() if file.is_file() else b""
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            if self.command == "GET" and file.suffix == ".safetensors":
                hub.ranges.append(start)
            self.send_response(404 if not file.is_file() else 206 if asked else 200)
            if not file.is_file():
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("ETag", hashlib.sha256(data).hexdigest())
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            return (data[:-1] + b"?" if hub.wrong else data), start

    return Handler


def http_error(kind: Callable[..., Exception], status: int) -> Exception:
    """An error of the hub's client, as the client raises it for an answer of that status."""
    return kind(f"{status} of the hub", response=errors.Response(status, request=SimpleNamespace()))
