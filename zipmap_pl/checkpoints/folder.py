"""Our own checkpoints: one folder per step, never overwritten.

    checkpoints/
      step-00001100/
        weights.safetensors    the model under the published keys
        optimizer.pt           optimiser state and counters
        manifest.json          written last inside the folder: settings, sizes and checksums of the files
      latest                   name of the newest folder; replaced atomically, can be rebuilt by looking

A folder is built under a temporary name and renamed when it is whole, so a folder with its final name is a checkpoint.
Loading never executes anything: safetensors, `weights_only`, and settings parsed into our dataclasses.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zipmap_pl import __version__
from zipmap_pl.errors import UserError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.pt"
LATEST = "latest"


@dataclass
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        step: optimiser steps done in the stage, skipped ones included.
        stage: name of the stage.
        model: `ModelConfig` as a plain dictionary; its `reference_view` tells weights apart whose tensors look alike.
        data: what the model saw: `width` and `aspect` (height / width, lowest and highest) of its pictures, `views`.
        trained_on: dataset slug -> licence.
        files: file name -> {"bytes", "sha256"}.
    """

    step: int
    stage: str
    model: dict[str, Any]
    data: dict[str, Any]
    trained_on: dict[str, str]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    zipmap_pl_version: str = __version__
    torch_version: str = torch.__version__


def save_checkpoint(folder: Path, manifest: Manifest, weights: dict[str, Tensor], optimizer: dict[str, Any]) -> Path:
    """Write `folder`/step-<step> and point `folder`/latest to it. Returns the new folder; an existing one is kept as it is."""
    final = folder / f"step-{manifest.step:08d}"
    if final.exists():
        _point_to(folder, final.name)
        return final
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{final.name}.{os.getpid()}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    save_file({key: value.detach().cpu().contiguous() for key, value in weights.items()}, temporary / WEIGHTS)
    torch.save(optimizer, temporary / OPTIMIZER)
    manifest.files = {name: _fingerprint(temporary / name) for name in (WEIGHTS, OPTIMIZER)}
    (temporary / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    for path in (*temporary.iterdir(), temporary):
        _flush(path)
    temporary.rename(final)
    _flush(folder)
    _point_to(folder, final.name)
    return final


def find_checkpoint(path: Path) -> Path:
    """The checkpoint folder that `path` means: itself, or the newest one of a checkpoints/ or run folder.

    Raises:
        UserError: there is none.
    """
    for candidate in (path, path / "checkpoints"):
        if (candidate / MANIFEST).is_file():
            return candidate
        newest = latest_checkpoint(candidate)
        if newest is not None:
            return newest
    found = "a folder without checkpoints" if path.is_dir() else "no folder" if not path.exists() else "a file"
    raise UserError(
        f"{path}: found {found}, expected a checkpoint (step-NNNNNNNN with {MANIFEST}) or a run folder that holds one"
    )


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint below `folder` (`latest`, or the highest step if that is missing), or None."""
    if not folder.is_dir():
        return None
    if (folder / LATEST).is_file():
        named = folder / (folder / LATEST).read_text().strip()
        if (named / MANIFEST).is_file():
            return named
    return max((path.parent for path in folder.glob(f"step-*/{MANIFEST}")), default=None)


def read_manifest(checkpoint: Path) -> Manifest:
    """The manifest of a checkpoint folder, after checking that its files are whole.

    Raises:
        UserError: unreadable manifest, another format version, a file that is missing, short or changed.
    """
    try:
        manifest = Manifest(**json.loads((checkpoint / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{checkpoint / MANIFEST}: not readable as a checkpoint manifest ({error}); take another checkpoint"
        ) from error
    if manifest.format_version != FORMAT_VERSION:
        raise UserError(
            f"{checkpoint}: checkpoint format {manifest.format_version} (zipmap_pl {manifest.zipmap_pl_version}), "
            f"this version reads format {FORMAT_VERSION}; install the version that wrote it"
        )
    for name, wanted in manifest.files.items():
        path = checkpoint / name
        found = _fingerprint(path) if path.is_file() else "nothing"
        if found != wanted:
            raise UserError(f"{path}: damaged, found {found}, the manifest says {wanted}; take another checkpoint")
    return manifest


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The model's tensors by their published keys, on the CPU."""
    return load_file(checkpoint / WEIGHTS)


def read_optimizer(checkpoint: Path) -> dict[str, Any]:
    """Optimiser state and counters, on the CPU."""
    return torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True)


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _point_to(folder: Path, name: str) -> None:
    temporary = folder / f".{LATEST}.{os.getpid()}"
    temporary.write_text(name + "\n")
    _flush(temporary)
    temporary.replace(folder / LATEST)


def _flush(path: Path) -> None:
    """Bring a file or folder to the disk before its name is relied upon."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
