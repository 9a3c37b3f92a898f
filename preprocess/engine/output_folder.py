"""The folder of shards: whose it is, what in it is ours to throw away, which shards it lacks."""

import shutil
from pathlib import Path

from zipmap_pl.datasets.format.schema import DATASET_FILE, INDEX_FOLDER, PLAN_FOLDER, SIDECAR_FOLDER
from zipmap_pl.datasets.format.shard_index import column_files
from zipmap_pl.errors import UserError
from zipmap_pl.files import sync, temporary_of
from zipmap_pl.preprocess.engine.plan import ShardPlan
from zipmap_pl.preprocess.engine.saved_plan import DamagedPlan, has_plan, load_plan
from zipmap_pl.preprocess.engine.state import ShardState, is_complete

LOCK_FILE = ".lock"
TABLES_FOLDER = f"{PLAN_FOLDER}/tables"  # of `preprocess.kept`


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
    """Remove what a plan made: dataset.json first, then shards, sidecars, index and plan; nothing else.

    Tables stay: they are of raw files, whatever the plan.
    """
    if not has_plan(output):
        return
    (output / DATASET_FILE).unlink(missing_ok=True)
    for tar in _tars(output):
        for file in (tar, temporary_of(tar)):
            file.unlink(missing_ok=True)
        if tar.parent.is_dir() and not any(tar.parent.iterdir()):
            tar.parent.rmdir()
    for folder in (SIDECAR_FOLDER, INDEX_FOLDER):
        if (output / folder).is_dir():
            shutil.rmtree(output / folder)
    for entry in (output / PLAN_FOLDER).iterdir():
        if entry.is_file():
            entry.unlink()


def _tars(output: Path) -> list[Path]:
    """The tars that the plan names; if it is damaged, those that have a sidecar."""
    try:
        plan = load_plan(output)
    except DamagedPlan:
        folder = output / SIDECAR_FOLDER
        return [(output / file.relative_to(folder)).with_suffix(".tar") for file in folder.glob("*/*.npz")]
    return [shard.tar(output) for shard in plan.shards()] if plan else []


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
