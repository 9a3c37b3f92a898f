"""What is on this machine already: caches and published weights, datasets in shards, runs with their checkpoints."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import constants, get_token, try_to_load_from_cache

from zipmap_pl.checkpoints.folder import DAMAGED, Manifest, checkpoints_of, latest_checkpoint, read_manifest
from zipmap_pl.checkpoints.hub import parse_hub_id
from zipmap_pl.datasets.format.index_check import open_checked
from zipmap_pl.datasets.format.schema import DATASET_FILE, PLAN_FOLDER
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.remote.remote_files import RemoteConfig
from zipmap_pl.doctor.section import Section, first_line, gigabytes
from zipmap_pl.doctor.text import user_name
from zipmap_pl.errors import UserError
from zipmap_pl.losses.perceptual import default_vgg_path

LEVELS = ("*", "*/*", "*/*/*")  # below shards/ and runs/, that are looked at
COMPILED = "TORCHINDUCTOR_CACHE_DIR"


def cache_folders() -> dict[str, Path]:
    """The caches that the package and its libraries use, by name."""
    compiled = os.environ.get(COMPILED) or Path(tempfile.gettempdir()) / f"torchinductor_{user_name()}"
    return {
        "hub cache": Path(constants.HF_HUB_CACHE),
        "torch cache": Path(torch.hub.get_dir()),
        "compile cache": Path(compiled),
        "zipmap cache": RemoteConfig().folder,
    }


def weights(published: Mapping[str, str]) -> Section:
    """Which published weights the caches hold. Broken is VGG16 whose bytes are not those of its name.

    Args:
        published: name for `zipmap fetch` -> file on the hub.
    """
    section = Section("Published weights")
    section.add("hub", "offline (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "online")
    section.add("hub token", "there, not shown" if get_token() else "none (needed for private and gated weights only)")
    for name, file in published.items():
        hub_id = parse_hub_id(file)
        path = hub_id and try_to_load_from_cache(hub_id.repository, hub_id.file)
        held = isinstance(path, str) and Path(path).is_file()
        section.add(name, gigabytes(Path(str(path)).stat().st_size) if held else f"not here; `zipmap fetch {name}`")
    vgg = default_vgg_path()
    section.add(
        "lpips (VGG16)", "here" if vgg.is_file() else "not here; `zipmap fetch lpips`, for state-query stages only"
    )
    if vgg.is_file() and not _has_its_hash(vgg):
        section.broken.append(f"{vgg}: damaged; remove it, then `zipmap fetch lpips`")
    return section


def _has_its_hash(path: Path) -> bool:
    """Return True if the sha256 begins with what the name ends in."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(path.stem.rpartition("-")[2])


def datasets(folder: Path) -> Section:
    """A line for each dataset below a folder. Broken is one whose index or sizes are not those that were written."""
    section = Section(f"Shards below {folder}")
    for place in _below(folder, DATASET_FILE, PLAN_FOLDER):
        name = place.relative_to(folder).as_posix()
        if not (place / DATASET_FILE).is_file():
            section.add(name, f"not complete: the same `zipmap preprocess` again, or `zipmap shards finish {place}`")
            continue
        try:
            index = open_checked(place)
            fault = _wrong_sizes(index)
        except (UserError, OSError, ValueError) as error:
            fault = first_line(error)
        if fault:
            section.add(name, "DAMAGED")
            section.broken.append(f"{place}: {fault}; `zipmap shards verify {place}` names every damaged file")
        else:
            section.add(name, f"{index.scene_count} scenes, {index.frame_count} frames, sizes as written")
    if not section.lines:
        section.add("datasets", "none")
    return section


def _wrong_sizes(index: ShardIndex) -> str:
    """What is wrong with number and sizes of the shards, which are not read; empty if nothing is."""
    found = [path.stat().st_size for path in index.folder.glob("*/*.tar")]
    counts = index.info["counts"]
    if (len(found), sum(found)) == (counts["shards"], counts["bytes"]):
        return ""
    return f"found {len(found)} shards of {sum(found)} bytes, expected {counts['shards']} of {counts['bytes']}"


def runs(folder: Path) -> Section:
    """A line for each run below a folder. Broken is one whose newest checkpoint lacks a file or part of one."""
    section = Section(f"Runs below {folder}")
    for place in _below(folder, "checkpoints"):
        name = place.relative_to(folder).as_posix()
        newest = latest_checkpoint(place / "checkpoints")
        aside = len(list((place / "checkpoints").glob(f"{DAMAGED}*")))
        tail = f", {aside} damaged set aside" if aside else ""
        if newest is None:
            section.add(name, f"no checkpoint{tail}")
            continue
        try:
            section.add(name, f"{_checked(newest)}, {len(checkpoints_of(newest.parent))} checkpoints{tail}")
        except UserError as error:
            section.add(name, f"DAMAGED{tail}")
            section.broken.append(str(error))
    if not section.lines:
        section.add("runs", "none")
    return section


def _checked(checkpoint: Path) -> str:
    """What a checkpoint is. Raises UserError if its manifest is not readable, or a file has another size."""
    manifest: Manifest = read_manifest(checkpoint)
    for name, facts in manifest.files.items():
        path = checkpoint / name
        found = path.stat().st_size if path.is_file() else None
        if found != facts.bytes:
            what = "missing" if found is None else f"{found} bytes, expected {facts.bytes}"
            raise UserError(f"{path}: {what}; remove {checkpoint}, and its run resumes from the one before")
    skipped = f" ({manifest.skipped} skipped)" if manifest.skipped else ""
    return f"{manifest.stage}, step {manifest.step}{skipped}, complete"


def _below(folder: Path, *signs: str) -> Iterator[Path]:
    """Folders, up to three levels down, that hold a file or folder of one of these names; in order, each once."""
    found = {path.parent for level in LEVELS for sign in signs for path in folder.glob(f"{level}/{sign}")}
    yield from sorted(found)
