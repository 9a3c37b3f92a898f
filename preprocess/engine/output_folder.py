"""The folder of shards: whose it is, what in it is ours to throw away, which shards it lacks."""

import shutil
from pathlib import Path

from zipmap_pl.datasets.format.schema import DATASET_FILE, INDEX_FOLDER, PLAN_FOLDER, SIDECAR_FOLDER
from zipmap_pl.datasets.format.shard_index import column_files
from zipmap_pl.errors import UserError
from zipmap_pl.files import sync, temporary_of
from zipmap_pl.preprocess.engine.plan import Plan, ShardPlan
from zipmap_pl.preprocess.engine.saved_plan import has_plan, load_plan
from zipmap_pl.preprocess.engine.state import ShardState, is_complete

LOCK_FILE = ".lock"


def refuse_foreign_folder(output: Path) -> None:
    """A folder without a plan must be new or empty, but for what is left by a run that was killed while planning, or whose
    folder was removed meanwhile."""
    there = sorted(entry.name for entry in output.iterdir()) if output.is_dir() else []
    foreign = [name for name in there if name not in (LOCK_FILE, PLAN_FOLDER) and not _left_over(output / name)]
    if foreign:
        raise UserError(f"{output}: holds {foreign[0]!r} but no plan of ours; give an empty or new folder as --output")


def _left_over(folder: Path) -> bool:
    """Return True for a folder with nothing in it but sidecars, or columns of an index."""
    files = [path.name for path in folder.rglob("*") if not path.is_dir()]
    kinds = {SIDECAR_FOLDER: lambda name: name.endswith(".npz"), INDEX_FOLDER: column_files().__contains__}
    ours = kinds.get(folder.name)
    return ours is not None and all(ours(name.removeprefix(".").removesuffix(".tmp")) for name in files)


def remove_shards(output: Path) -> None:
    """Remove what a plan made: dataset.json first, then shards, sidecars, index and plan; nothing else."""
    if not has_plan(output):
        return
    (output / DATASET_FILE).unlink(missing_ok=True)
    plan = _load_plan_or_none(output)
    for shard in plan.shards() if plan else []:
        for file in (shard.tar(output), temporary_of(shard.tar(output))):
            file.unlink(missing_ok=True)
    for split in plan.splits if plan else []:
        if (output / split).is_dir() and not any((output / split).iterdir()):
            (output / split).rmdir()
    for folder in (SIDECAR_FOLDER, INDEX_FOLDER, PLAN_FOLDER):
        if (output / folder).is_dir():
            shutil.rmtree(output / folder)


def _load_plan_or_none(output: Path) -> Plan | None:
    """The plan, or None if it is missing or damaged."""
    try:
        return load_plan(output)
    except UserError:
        return None


def shards_to_write(output: Path, shards: list[ShardPlan], states: dict[int, ShardState | None]) -> list[ShardPlan]:
    """Shards that are not whole; while the dataset is incomplete also those with faults, which may be mended."""
    broken = [shard for shard in shards if states[shard.number] is None]
    if is_complete(output):
        if not broken:
            return []
        (output / DATASET_FILE).unlink()
        sync(output)
        return broken
    return [shard for shard in shards if (state := states[shard.number]) is None or state.faults]
