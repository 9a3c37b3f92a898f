"""Merges finished shards into the index and writes dataset.json last. Idempotent: always the same files."""

import hashlib
import logging
import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.dataset_file import pack_dataset_file
from zipmap_pl.datasets.format.index_check import damaged_columns
from zipmap_pl.datasets.format.schema import (
    DATASET_FILE,
    FRAME_COLUMNS,
    INDEX_FOLDER,
    PARTS,
    SCENE_COLUMNS,
    SCHEMA_VERSION,
)
from zipmap_pl.datasets.format.shard_index import column_files
from zipmap_pl.datasets.format.sidecar import DamagedSidecar, read_arrays
from zipmap_pl.datasets.inspection.agreement import rule_of
from zipmap_pl.errors import UserError
from zipmap_pl.files import write_exclusively
from zipmap_pl.preprocess.engine.columns import mapped_columns, write_column, write_text
from zipmap_pl.preprocess.engine.given_overlaps import GivenNeighbours, given_neighbours, unpack
from zipmap_pl.preprocess.engine.neighbours import ComparedScene, SceneViews, compared, neighbours_of
from zipmap_pl.preprocess.engine.plan import Plan
from zipmap_pl.preprocess.engine.saved_plan import load_plan
from zipmap_pl.preprocess.engine.scene_checks import PairCheck, camera_steps, scene_agreement_of
from zipmap_pl.preprocess.engine.state import (
    ShardState,
    Skipped,
    by_reason,
    dataset_info,
    finished_of,
    left_out_of,
    load_finished,
    named_once,
    save_finished,
    shard_state,
)
from zipmap_pl.preprocess.engine.streams import stream_of
from zipmap_pl.preprocess.engine.workers import Run
from zipmap_pl.preprocess.engine.writer import ROW_COLUMNS

log = logging.getLogger(__name__)

CONVENTIONS = {
    "camera_axes": "OpenCV: x right, y down, z forward",
    "pose": "world_to_cam, from the scene's normalised world",
    "pixels": "the picture covers [0, W] x [0, H]; the centre of pixel (row i, column j) is (j + 0.5, i + 0.5)",
    "depth": "planar z in normalised units; code 0 unknown, 65535 sky",
}
NAMED_KINDS = 3
NEIGHBOURS_AT_ONCE = 1024  # frames of a task


class DamagedSidecars(UserError):
    """Sidecars that are not what was written: their shards have to be written again."""

    def __init__(self, output: Path, files: list[Path]) -> None:
        super().__init__(
            f"{output}: {len(files)} damaged sidecars, first {files[0]}; run the same `zipmap preprocess` again, which writes"
            " their shards again"
        )
        self.files = files


def finish(output: Path, max_fault_share: float, run: Run) -> tuple[list[Skipped], list[Skipped]]:
    """Merge the sidecars of all shards into the index; write dataset.json. The caller holds the folder's lock.

    What is there and whole is left alone; a damaged index or dataset.json is written again.

    Args:
        output: the dataset folder.
        max_fault_share: of the settings.
        run: runs the tasks that can be done side by side.

    Returns:
        all faults, and all frames that were passed over.

    Raises:
        UserError: no plan, shards missing, or a larger share of faulty frames than `max_fault_share`.
        DamagedSidecars: some are not what was written.
    """
    plan = load_plan(output)
    if plan is None:
        raise UserError(f"{output}: no plan, so this is no folder of shards; make it with `zipmap preprocess`")
    fingerprint = plan.fingerprint
    states = [shard_state(output, shard, fingerprint) for shard in plan.shards()]
    whole = [state for state in states if state is not None]
    if len(whole) < len(states):
        missing = next(shard.path for shard, state in zip(plan.shards(), states, strict=True) if state is None)
        raise UserError(
            f"{output}: {len(states) - len(whole)} of {len(states)} shards are not there yet, first {missing};"
            " run the same `zipmap preprocess` again (with every --part)"
        )
    faults = [fault for state in whole for fault in state.faults]
    passed_over = [frame for state in whole for frame in state.passed_over]
    if len(passed_over) == plan.frame_count:
        raise UserError(
            f"{output}: all {len(passed_over)} frames are passed over: {_first_of_each_kind(passed_over)}; check the raw"
            " folder and the reader's options, and add --rebuild"
        )
    check_fault_share(output, plan.frame_count - len(passed_over), faults, max_fault_share)
    check_lost_scenes(output, plan, max_fault_share)
    if not _has_index(output):
        load_sidecar.cache_clear()
        _compared_scene.cache_clear()
        _given_neighbours.cache_clear()
        _write_index(output, plan, whole, run)
        save_finished(output, finished_of(output, plan, whole))
        _write_dataset_file(output, plan, whole, faults, passed_over)
    elif load_finished(output) is None:
        save_finished(output, finished_of(output, plan, whole))
    return faults, passed_over


def _has_index(output: Path) -> bool:
    """Return True if dataset.json and the index that it was written for are there, every byte of them.

    Those of an older schema are written again.
    """
    info = dataset_info(output)
    if info is None or info["schema_version"] < SCHEMA_VERSION:
        return False
    return info["schema_version"] > SCHEMA_VERSION or next(damaged_columns(output, info), None) is None


def check_fault_share(output: Path, planned: int, faults: list[Skipped], max_fault_share: float) -> None:
    """Raise UserError if too many frames could not be used; names the first ones and what to do.

    `planned` are all frames but those that were passed over.
    """
    if len(faults) <= max_fault_share * planned and len(faults) < planned:
        return
    share = len(faults) / planned
    remedy = "mend the raw files and run the same command again"
    if len(faults) < planned:
        remedy += f", or accept the loss with --max-fault-share {min(1.0, np.ceil(share * 100) / 100):g}"
    else:
        remedy += ", or correct the options and add --rebuild"
    raise UserError(
        f"{output}: {len(faults)} of {planned} frames could not be used ({share:.1%},"
        f" at most {max_fault_share:.1%} may be): {_first_of_each_kind(faults)}. To go on, {remedy}"
    )


def check_lost_scenes(output: Path, plan: Plan, max_share: float) -> None:
    """Raises UserError if too many scenes are lost altogether; names the first ones and what to do."""
    lost, scenes = plan.lost_scenes, len(plan.scenes) + len(plan.lost_scenes)
    if len(lost) <= max_share * scenes:
        return
    named = named_once(fault for fault in left_out_of(plan) if fault.scene in lost)
    raise UserError(
        f"{output}: {len(lost)} of {scenes} scenes could not be used ({len(lost) / scenes:.1%}, at most"
        f" {max_share:.1%} may be): {'; '.join(named[:NAMED_KINDS])}{'; ...' if named[NAMED_KINDS:] else ''}."
        " To go on, mend the raw files and add --rebuild, or accept the loss with --max-fault-share"
        f" {np.ceil(len(lost) / scenes * 100) / 100:g}"
    )


def _first_of_each_kind(faults: list[Skipped]) -> str:
    """One example of each of the first reasons, and how many more there are of it."""
    kinds: dict[str, list[Skipped]] = {}
    for fault in faults:
        kinds.setdefault(fault.reason, []).append(fault)
    named = [f"{kind[0]}" + (f" (and {len(kind) - 1} more)" if len(kind) > 1 else "") for kind in kinds.values()]
    return "; ".join(named[:NAMED_KINDS]) + ("; ..." if len(named) > NAMED_KINDS else "")


def _write_index(output: Path, plan: Plan, states: list[ShardState], run: Run) -> None:
    total = sum(state.frame_count for state in states)
    folder = output / INDEX_FOLDER
    with mapped_columns(folder, FRAME_COLUMNS, total) as columns:
        texts, lengths = [np.zeros(0, np.uint8)], [np.zeros(1, np.int64)]
        start, damaged = 0, []
        for state in states:
            try:
                arrays = load_sidecar(state.plan.sidecar(output))
            except DamagedSidecar as damage:
                damaged.append(damage.file)
                continue
            for name in ROW_COLUMNS:
                columns[name][start : start + state.frame_count] = arrays[name]
            texts.append(arrays["frame.name.bytes"])
            lengths.append(np.diff(arrays["frame.name.offsets"]))
            start += state.frame_count
        if damaged:
            raise DamagedSidecars(output, damaged)
        _fill_streams(plan, columns)
        scenes = _scene_columns(plan, states, columns)
        unused = _fill_neighbours(output, states, columns, scenes, run)
    if unused:
        text = (
            "%s: the overlaps given for %d scenes (%s first) name no frame that was written; they are computed instead"
        )
        log.warning(text, output, len(unused), plan.scenes[min(unused)].name)
    for name, column in scenes.items():
        write_column(folder / f"{name}.npy", column)
    write_column(folder / "frame.name.bytes.npy", np.concatenate(texts))
    write_column(folder / "frame.name.offsets.npy", np.cumsum(np.concatenate(lengths)))
    write_text(folder, "scene.name", [scene.name for scene in plan.scenes])
    write_text(folder, "shard.path", [state.plan.path for state in states])
    write_text(folder, "shard.sha256", [state.meta["sha256"] for state in states])


def _fill_streams(plan: Plan, columns: dict[str, np.ndarray]) -> None:
    """The column of streams; that of a scene with one is 0 already."""
    for scene in plan.scenes:
        if scene.streams:
            rows = slice(*np.searchsorted(columns["frame.scene"], (scene.number, scene.number + 1)))
            columns["frame.stream"][rows] = stream_of(scene.streams, columns["frame.ordinal"][rows])


def _scene_columns(plan: Plan, states: list[ShardState], columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scene columns; a scene without any usable frame has a count of 0."""
    numbers, frame_scene = np.arange(len(plan.scenes)), columns["frame.scene"]
    first, last = (np.searchsorted(frame_scene, numbers, side) for side in ("left", "right"))
    nan = float("nan")
    values = {
        "scene.split": [plan.splits.index(scene.split) for scene in plan.scenes],
        "scene.first_frame": first,
        "scene.frame_count": last - first,
        "scene.unit": [scene.unit for scene in plan.scenes],
        "scene.unit_source": [scene.unit_source for scene in plan.scenes],
        "scene.raw_from_world": [scene.raw_from_world for scene in plan.scenes],
        "scene.metres_per_unit": [nan if s.metres_per_unit is None else s.metres_per_unit for s in plan.scenes],
        **_check_columns(plan, states, columns, [slice(*rows) for rows in zip(first, last, strict=True)]),
    }
    return {name: np.array(values[name], dtype).reshape(-1, *shape) for name, (dtype, shape) in SCENE_COLUMNS.items()}


def _check_columns(
    plan: Plan, states: list[ShardState], columns: dict[str, np.ndarray], scenes: list[slice]
) -> dict[str, list[float]]:
    """What was checked of every scene, whose rows are `scenes`."""
    pairs: dict[int, list[PairCheck]] = {}
    for state in states:
        for check in state.checks:
            pairs.setdefault(check.scene, []).append(check)
    known = [
        float(columns["frame.valid_share"][rows].mean()) if rows.stop > rows.start else math.nan for rows in scenes
    ]
    agreements = []
    for number, rows in enumerate(scenes):
        masked = bool(np.any(columns["frame.part_length"][rows, PARTS.index("dynamic")]))
        rule = rule_of(plan.settings["dataset"]["kind"], plan.settings["dataset"]["source"], masked, known[number])
        agreements.append(scene_agreement_of(pairs.get(number, []), rule))
    motions = [_largest_motion(columns["frame.world_to_cam"][rows], columns["frame.stream"][rows]) for rows in scenes]
    return {
        "scene.agreement_median": [agreement.median_relative for agreement in agreements],
        "scene.agreement_good": [agreement.good_share for agreement in agreements],
        "scene.valid_share": known,
        "scene.largest_step": [step for step, _ in motions],
        "scene.largest_turn": [turn for _, turn in motions],
    }


def _largest_motion(world_to_cam: np.ndarray, streams: np.ndarray) -> tuple[float, float]:
    """`camera_steps` of the stream where the step is largest, and of that where the turn is."""
    parts = np.split(world_to_cam, np.flatnonzero(streams[1:] != streams[:-1]) + 1)
    steps, turns = zip(*map(camera_steps, parts), strict=True)
    return tuple(max(found, key=lambda value: -1.0 if np.isnan(value) else value) for found in (steps, turns))


def _fill_neighbours(
    output: Path, states: list[ShardState], columns: dict[str, np.ndarray], scenes: dict[str, np.ndarray], run: Run
) -> set[int]:
    """In the workers: some frames of a scene are a task, which looks up the whole scene in the sidecars.

    Returns:
        numbers of the scenes none of whose given overlaps can be used.
    """
    unused = set()
    columns["frame.neighbours"][:] = -1
    ends = np.cumsum([state.frame_count for state in states])
    arguments: list[tuple] = []
    for number, (first, count) in enumerate(zip(scenes["scene.first_frame"], scenes["scene.frame_count"], strict=True)):
        if count:
            shards = slice(*np.searchsorted(ends, (first, first + count - 1), "right") + (0, 1))
            sidecars = tuple(state.plan.sidecar(output) for state in states[shards])
            arguments += [
                (sidecars, number, place, min(NEIGHBOURS_AT_ONCE, int(count) - place), int(first) + place)
                for place in range(0, int(count), NEIGHBOURS_AT_ONCE)
            ]
    for row, in_vain, neighbours, overlaps in run(_neighbours, arguments, "neighbours"):
        rows = slice(row, row + len(neighbours))
        columns["frame.neighbours"][rows], columns["frame.neighbour_overlap"][rows] = neighbours, overlaps
        if in_vain:
            unused.add(int(columns["frame.scene"][row]))
    return unused


def _neighbours(
    _job: object, sidecars: tuple[Path, ...], scene: int, first: int, count: int, row: int
) -> tuple[int, bool, np.ndarray, np.ndarray]:
    """The row, whether overlaps were given in vain, and `neighbours_of`."""
    given = _given_neighbours(sidecars, scene)
    if given is not None and given.any:
        rows = slice(first, first + count)
        return row, False, given.neighbours[rows], given.overlaps[rows]
    return row, given is not None, *neighbours_of(_compared_scene(sidecars, scene), first, count)


@lru_cache(maxsize=1)
def _given_neighbours(sidecars: tuple[Path, ...], scene: int) -> GivenNeighbours | None:
    """Neighbours out of the sidecars of a scene's shards, if they hold overlaps."""
    ordinals, overlaps = [], []
    for sidecar in sidecars:
        arrays = load_sidecar(sidecar)
        rows = slice(*np.searchsorted(arrays["frame.scene"], (scene, scene + 1)).tolist())
        ordinals.append(arrays["frame.ordinal"][rows])
        overlaps += unpack(arrays, rows)
    return given_neighbours(np.concatenate(ordinals).astype(np.int64), overlaps)


@lru_cache(maxsize=1)
def _compared_scene(sidecars: tuple[Path, ...], scene: int) -> ComparedScene:
    """A scene out of the sidecars of its shards."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("world_to_cam", "intrinsics", "size")}
    thumbnails: list[np.ndarray] = []
    for sidecar in sidecars:
        arrays = load_sidecar(sidecar)
        rows = slice(*np.searchsorted(arrays["frame.scene"], (scene, scene + 1)))
        for name, parts in columns.items():
            parts.append(arrays[f"frame.{name}"][rows])
        ends = np.cumsum(np.prod(arrays["thumbnail.size"], axis=1, dtype=np.int64))
        for size, end in zip(arrays["thumbnail.size"][rows].tolist(), ends[rows].tolist(), strict=True):
            thumbnails.append(arrays["thumbnail.depth"][end - size[0] * size[1] : end].reshape(size))
    world_to_cam, intrinsics, sizes = (np.concatenate(parts) for parts in columns.values())
    return compared(SceneViews(world_to_cam, intrinsics, sizes, thumbnails))


@lru_cache(maxsize=2)
def load_sidecar(sidecar: Path) -> dict[str, np.ndarray]:
    """All arrays of a sidecar. Raises DamagedSidecar."""
    return read_arrays(sidecar)


def _write_dataset_file(
    output: Path, plan: Plan, states: list[ShardState], faults: list[Skipped], passed_over: list[Skipped]
) -> None:
    index = {name: _sha256(output / INDEX_FOLDER / name) for name in column_files()}
    contents = {
        "schema_version": SCHEMA_VERSION,
        **plan.settings["dataset"],
        "splits": plan.splits,
        "conventions": CONVENTIONS,
        "settings": plan.settings,
        "fingerprint": plan.fingerprint,
        "libraries": plan.settings["libraries"],
        "counts": {
            "scenes": len(plan.scenes),
            "frames_planned": plan.frame_count,
            "frames": plan.frame_count - len(faults) - len(passed_over),
            "faults": len(faults),
            "left_out": len(plan.left_out),
            "shards": len(states),
            "bytes": sum(state.meta["bytes"] for state in states),
        },
        "faults": [vars(fault) for fault in faults],
        "left_out": [vars(fault) for fault in left_out_of(plan)],
        "index_sha256": index,
    }
    if passed_over:
        contents["counts"]["passed_over"] = len(passed_over)
        contents["passed_over"] = by_reason(passed_over)
    write_exclusively(output / DATASET_FILE, pack_dataset_file(contents))


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
