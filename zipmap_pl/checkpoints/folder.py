"""Our own checkpoints: one folder per step, whose tensors are never overwritten.

    checkpoints/
      step-00001100/
        weights.safetensors    the model under the published keys
        optimizer.pt           optimiser state by parameter name
        ema.safetensors        averages of the trained weights, where the stage keeps them
        manifest.json          written last inside the folder: settings, sizes and checksums of the files
      latest                   name of the newest folder and a checksum of it; replaced atomically, can be rebuilt by looking

A model that was trained in shards has each of the two in one file per shard instead, see `parts`; the readers here give
the same either way.

A folder is built under a temporary name and renamed when it is whole, so a folder with its final name is a checkpoint;
it gets a temporary name again before it is removed. What a killed process left under such names goes with the next save.
Loading never executes anything: safetensors, `weights_only`, and settings parsed into our dataclasses.
"""

import hashlib
import json
import logging
import re
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from zipmap_pl.checkpoints.parts import Parts, StateByParameter, part_name
from zipmap_pl.checkpoints.tensor_files import write_pt, write_safetensors
from zipmap_pl.checkpoints.weight_file import read_pt, read_weight_file
from zipmap_pl.errors import DamagedFile, UserError
from zipmap_pl.files import sync, write_file
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.version import __version__

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.pt"
EMA = "ema"  # the name of the averages, in parts too
AVERAGES = f"{EMA}.safetensors"
LATEST = "latest"
PARTIAL = ".partial"
DAMAGED = "damaged-"

log = logging.getLogger(__name__)


@dataclass
class SeenPictures:
    """What the model saw in training: `width`, lowest and highest `aspect` (height / width), fewest and most `views`."""

    width: int
    aspect: list[float]
    views: list[int]


@dataclass
class Figures:
    """What a validation said of the weights: metric -> value, those of baselines too.

    Attributes:
        step: of the stage, when it was; the weights are those of that step or later ones.
        scenes: which ones: "held-out", "training", or both.
    """

    step: int
    scenes: str
    values: dict[str, float]


@dataclass
class FileFacts:
    """A file's size and checksum."""

    bytes: int
    sha256: str


@dataclass
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        step: optimiser steps done in the stage, skipped ones included.
        skipped: how many of them changed nothing.
        stage: name of the stage.
        model: sizes and variant; its `reference_view` tells weights apart whose tensors look alike.
        pictures: what the model saw.
        trained_on: dataset slug -> licence, of the stages before, too.
        terms: licence terms of the weights that the first stage started from; empty for own ones.
        files: file name -> size and checksum; filled in by `save_checkpoint`.
        parts: in how many files each group of tensors lies; 0 = in one file, whole.
        validation: of these weights, or the last one before them; None if the process made none. See `add_figures`.
        commit: of the code, where it ran from a git checkout; "-dirty" at its end if files were changed.
    """

    step: int
    skipped: int
    stage: str
    model: ModelConfig
    pictures: SeenPictures
    trained_on: dict[str, str]
    terms: str = ""
    files: dict[str, FileFacts] = field(default_factory=dict)
    parts: int = 0
    format_version: int = FORMAT_VERSION
    zipmap_pl_version: str = __version__
    torch_version: str = torch.__version__
    validation: Figures | None = None
    commit: str = ""


def save_checkpoint(
    folder: Path,
    manifest: Manifest,
    weights: dict[str, Tensor],
    optimizer: dict[str, Any],
    keep: int = 0,
    averages: dict[str, Tensor] | None = None,
) -> Path:
    """Write `folder`/step-<step> and point `folder`/latest to it. Returns the new folder; an existing one is kept as it is.

    Of all checkpoints the `keep` with the highest steps stay, and always the new one; 0 keeps all. `averages`: of the
    weights that are trained, by parameter name.
    """
    final = path_of(folder, manifest.step)
    if open_new(final):
        temporary = temporary_name(final)
        for name, tensors in ((WEIGHTS, weights), (AVERAGES, averages)):
            if tensors is not None:
                write_safetensors(temporary / name, tensors)
        write_pt(temporary / OPTIMIZER, optimizer)
        for path in sorted(temporary.iterdir()):
            sync(path)
            manifest.files[path.name] = facts_of(path)
        close_new(final, manifest)
    point_to(final, keep)
    return final


def open_new(final: Path) -> bool:
    """Make the temporary folder that becomes the checkpoint `final`; False if that is there already."""
    if (final / MANIFEST).is_file():
        return False
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    if final.exists():  # without a manifest it is no checkpoint
        shutil.rmtree(final.rename(temporary_name(final)))
    temporary_name(final).mkdir()
    return True


def close_new(final: Path, manifest: Manifest) -> None:
    """All files are written and brought to the disk: add the manifest, which names them, and give the folder its name."""
    temporary = temporary_name(final)
    _write_manifest(temporary, manifest)
    temporary.rename(final)
    sync(final.parent)


def add_figures(final: Path, figures: Figures) -> None:
    """Give a checkpoint the figures of a validation that came after it was written; nothing if there is no checkpoint.

    Its manifest alone is replaced, in one step. Raises OSError.
    """
    if not (final / MANIFEST).is_file():
        return
    manifest = read_manifest(final)
    if manifest.validation != figures:
        _write_manifest(final, replace(manifest, validation=figures))


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    write_file(folder / MANIFEST, (json.dumps(asdict(manifest), indent=2) + "\n").encode())


def point_to(final: Path, keep: int) -> None:
    """Let `latest` name the checkpoint; remove those with lower steps beyond `keep` (0: none).

    One that cannot be removed is told in the log, and tried again with the next checkpoint.
    """
    folder = final.parent
    write_file(folder / LATEST, f"{final.name}\n{_checksum(final.name)}\n".encode())
    for old in checkpoints_of(folder)[:-keep] if keep else []:
        if old != final:
            try:
                old.rename(temporary_name(old))  # so that no moment shows a part of it
            except OSError as error:
                log.warning("%s: not removed (%s); it is tried again with the next checkpoint", old, error)
    _sweep(folder)


def set_aside(checkpoint: Path) -> Path:
    """Give a damaged checkpoint a name under which nobody takes it for one. Returns that."""
    aside = checkpoint.with_name(DAMAGED + checkpoint.name)
    if aside.exists():
        shutil.rmtree(aside)
    return checkpoint.rename(aside)


def _sweep(folder: Path) -> None:
    """Remove what has a temporary name: of checkpoints that are wanted no more, and of killed processes."""
    for left in folder.glob(f".step-*{PARTIAL}"):
        try:
            shutil.rmtree(left)
        except OSError as error:
            log.warning("%s: not removed (%s); it is tried again with the next checkpoint", left, error)


def path_of(folder: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return folder / f"step-{step:08d}"


def temporary_name(checkpoint: Path) -> Path:
    """What a checkpoint is called while it is not whole."""
    return checkpoint.with_name(f".{checkpoint.name}{PARTIAL}")


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
        f"{'' if path.exists() else _runs_in(path.parent, path.name)}"
    )


def _runs_in(folder: Path, wanted: str) -> str:
    """Name what could have been meant in a folder: runs and checkpoints, those with the most similar names first."""
    kinds = (f"*/{MANIFEST}", f"*/checkpoints/step-*/{MANIFEST}", f"*/step-*/{MANIFEST}")
    names = {path.relative_to(folder).parts[0] for kind in kinds for path in folder.glob(kind)}
    if not names:
        return ""
    near = get_close_matches(wanted, names, len(names), cutoff=0)
    return f"; {folder} has {', '.join(near[:5])}{f' and {len(near) - 5} more' if len(near) > 5 else ''}"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint below `folder` (`latest`, or the highest step if that is missing or damaged), or None."""
    if not folder.is_dir():
        return None
    if (folder / LATEST).is_file():
        # Earlier versions wrote no checksum: a changed name of another checkpoint would pass.
        name, *checksum = (folder / LATEST).read_bytes().decode("ascii", errors="replace").split() or [""]
        whole = re.fullmatch(r"step-\d+", name) and checksum in ([], [_checksum(name)])
        if whole and (folder / name / MANIFEST).is_file():
            return folder / name
    return next(reversed(checkpoints_of(folder)), None)


def _checksum(name: str) -> str:
    return f"{zlib.crc32(name.encode()):08x}"


def checkpoints_of(folder: Path) -> list[Path]:
    """All checkpoints directly below `folder`, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{MANIFEST}"))


def read_manifest(checkpoint: Path) -> Manifest:
    """The manifest of a checkpoint folder. The files are checked when they are read: optimiser states are large.

    Raises:
        DamagedFile: not readable.
        UserError: another format version, a key or value that this version does not know.
    """
    path = checkpoint / MANIFEST
    try:
        settings = json.loads(path.read_text())
        version = settings["format_version"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedFile(_not_a_manifest(path, error)) from error
    try:
        if version != FORMAT_VERSION:
            raise UserError(
                f"{path}: checkpoint format {version} of zipmap_pl {settings.get('zipmap_pl_version')}, "
                f"this version reads format {FORMAT_VERSION}; install the version that wrote it"
            )
        if "${" in str(settings):
            raise UserError(f"{path}: holds an interpolation (`${{`), expected plain values; do not trust this file")
        return cast(Manifest, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Manifest), settings)))
    except (ValueError, TypeError, KeyError, OmegaConfBaseException) as error:
        raise UserError(_not_a_manifest(path, error)) from error


def _not_a_manifest(path: Path, error: Exception) -> str:
    reason = (str(error).splitlines() or ["empty"])[0]
    return f"{path}: not readable as a checkpoint manifest ({reason}); take another checkpoint"


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The model's tensors by their published keys, on the CPU. Raises UserError if a file is damaged or unsafe."""
    parts = parts_of(checkpoint, "weights")
    if parts is not None:
        return dict(parts)
    return read_weight_file(_whole(checkpoint, WEIGHTS)).weights


def check_files(checkpoint: Path) -> None:
    """Compare the files of optimizer and averages with the manifest; those of the weights are compared when they are read.

    Raises DamagedFile.
    """
    for name in read_manifest(checkpoint).files:
        if not name.startswith(WEIGHTS.partition(".")[0]):
            _whole(checkpoint, name)


def read_optimizer(checkpoint: Path) -> Mapping[str, dict[str, Any]]:
    """Optimiser state by parameter name, on the CPU, that of a model in shards read parameter by parameter.

    Raises UserError if a file is damaged or unsafe.
    """
    parts = parts_of(checkpoint, "optimizer")
    if parts is not None:
        return StateByParameter(parts)
    return cast(dict[str, Any], read_pt(_whole(checkpoint, OPTIMIZER)))


def read_averages(checkpoint: Path) -> Mapping[str, Tensor] | None:
    """Averages of the weights by parameter name, on the CPU; None if the run keeps none. Raises UserError as the others."""
    files = read_manifest(checkpoint).files
    if AVERAGES in files:
        return read_weight_file(_whole(checkpoint, AVERAGES)).weights
    return parts_of(checkpoint, EMA) if any(name.startswith(f"{EMA}-") for name in files) else None


def parts_of(checkpoint: Path, group: str) -> Parts | None:
    """The tensors of a group of a checkpoint that was written in shards; None if it was not.

    Raises UserError if a file is damaged or unsafe.
    """
    count = read_manifest(checkpoint).parts
    if count == 0:
        return None
    return Parts([_whole(checkpoint, part_name(group, part, count)) for part in range(count)])


def _whole(checkpoint: Path, name: str) -> Path:
    """The path of a checkpoint's file, after comparing it with the manifest."""
    path, wanted = checkpoint / name, read_manifest(checkpoint).files.get(name)
    found = facts_of(path) if path.is_file() else None
    if found is None or found != wanted:
        raise DamagedFile(
            f"{path}: damaged, found {_in_words(found)}, the manifest says {_in_words(wanted)}; "
            "take another checkpoint, or remove this one and its run goes on from the one before"
        )
    return path


def facts_of(path: Path) -> FileFacts:
    """Size and checksum of a file."""
    with path.open("rb") as file:
        return FileFacts(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _in_words(facts: FileFacts | None) -> str:
    return "nothing" if facts is None else f"{facts.bytes} bytes with sha256 {facts.sha256[:12]}"
