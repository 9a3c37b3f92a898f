"""One file of the hub into a folder, resumed where an earlier command broke off.

The hub's own client keeps nothing of a download that failed (huggingface_hub 2.4), and weights have gigabytes.
"""

import hashlib
import os
from pathlib import Path

from zipmap_pl.checkpoints.hub import network_errors
from zipmap_pl.errors import DamagedFile

BLOCK = 1 << 20
SHA256_DIGITS = 64  # the hub names large files by it, small ones by a shorter checksum of git
SECONDS = 60  # without a byte


def download(repository: str, file: str, target: Path) -> None:
    """Fetch a file unless it is there already. What came before an interruption lies next to it as `.NAME.CHECKSUM.part`.

    A connection that breaks is made again as long as each one brings something.

    Raises:
        DamagedFile: the bytes are not those that the hub names; they are removed.
        Exception: what the hub's client raises, see `hub_errors`.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, file)
    facts = get_hf_file_metadata(url)
    checksum = facts.etag or ""
    if target.is_file() and _is(target, checksum):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{checksum[:16]}.part")
    partial.touch()
    _fill(partial, url, facts.size)
    right_size = facts.size is None or partial.stat().st_size == facts.size
    if not right_size or (len(checksum) == SHA256_DIGITS and not _is(partial, checksum)):
        partial.unlink()
        raise DamagedFile(f"{repository}/{file}: the bytes are not those that the hub names; the same command again")
    os.replace(partial, target)


def _fill(partial: Path, url: str, size: int | None) -> None:
    """Append until the file has its size, or a connection brings nothing more. Raises what the last connection raised."""
    before = -1
    while before < partial.stat().st_size != size:
        before = partial.stat().st_size
        try:
            _append(url, partial, before)
        except network_errors():
            if partial.stat().st_size <= before:
                raise
            continue
        if size is None:
            return


def _append(url: str, partial: Path, start: int) -> None:
    """Add the bytes from `start` on; all of them anew, if the server gives no part."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    request = get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=SECONDS)
    with request as response, partial.open("r+b") as out:
        hf_raise_for_status(response)
        out.truncate(start if response.status_code == 206 else 0)
        out.seek(0, os.SEEK_END)
        for block in response.iter_bytes(BLOCK):
            out.write(block)


def _is(path: Path, sha256: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
