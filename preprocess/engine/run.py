"""The engine: raw data in, a folder of shards out. Plan, write what is missing, finish; a second run goes on."""

import logging
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from zipmap_pl.datasets.format.schema import SIDECAR_FOLDER
from zipmap_pl.errors import NO_ROOM, UserError
from zipmap_pl.files import locked
from zipmap_pl.preprocess.engine.finish import DamagedSidecars, finish
from zipmap_pl.preprocess.engine.output_folder import (
    LOCK_FILE,
    TABLES_FOLDER,
    refuse_foreign_folder,
    remove_shards,
    shards_to_write,
)
from zipmap_pl.preprocess.engine.plan import Plan, ScenePlan, ShardPlan, list_scenes, plan_scene
from zipmap_pl.preprocess.engine.saved_plan import DamagedPlan, has_plan, load_plan, planned_settings, save_plan
from zipmap_pl.preprocess.engine.settings import EngineSettings, all_settings, differences
from zipmap_pl.preprocess.engine.state import (
    PassedOver,
    Skipped,
    by_reason,
    dataset_info,
    is_complete,
    left_out_of,
    load_finished,
    shard_state,
)
from zipmap_pl.preprocess.engine.tables import make_tables
from zipmap_pl.preprocess.engine.watch import Watch, result_of
from zipmap_pl.preprocess.engine.workers import Job, Run, check_workers, run_here, terminable, workers_of
from zipmap_pl.preprocess.engine.writer import Stopped, Written, removed, write_shard
from zipmap_pl.preprocess.kept import kept_in
from zipmap_pl.preprocess.raw import RawReader, RawScene

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        output: the dataset folder.
        complete: dataset.json is there.
        scenes: planned scenes.
        frames_planned: planned frames of the whole dataset.
        shards: shards of the whole dataset.
        shards_written: shards that this run wrote.
        shards_missing: shards that other parts have still to write.
        faults: frames that could not be used; of this run's shards, or of the whole dataset where it is complete.
        passed_over: frames that the dataset's own description says cannot be used, by reason and scene; likewise.
        left_out: what the reader left out while it listed scenes; of the whole dataset.
        disagreeing: scenes whose depth and cameras do not agree; of the whole dataset where it is complete, else of the
            shards that this run wrote or found.
        checked: number of the scenes that could be compared; likewise.
    """

    output: Path
    complete: bool
    scenes: int
    frames_planned: int
    shards: int
    shards_written: int
    shards_missing: int
    faults: tuple[Skipped, ...]
    passed_over: PassedOver
    left_out: tuple[Skipped, ...]
    disagreeing: tuple[str, ...]
    checked: int


def preprocess(
    reader: RawReader,
    output: Path,
    settings: EngineSettings,
    workers: int,
    part: tuple[int, int] = (1, 1),
    rebuild: bool = False,
    accept_disagreement: bool = False,
) -> Report:
    """Turn raw data into a folder of shards, or go on where an earlier run stopped.

    Args:
        reader: the raw data.
        output: the dataset folder.
        settings: of the engine.
        workers: processes; 1 = this process. The result does not depend on it.
        part: (i, n) with 1 <= i <= n: write every n-th shard only; whichever part comes last finishes the dataset.
        rebuild: throw away what is there (only what a plan of ours made) and start with a new plan.
        accept_disagreement: go on even if depth and cameras disagree in most of the first ten scenes.

    Raises:
        Disagreement: they do.
        UserError: nothing to read, other settings than before, too many faulty frames, or an error of the system.
        KeyboardInterrupt: on Ctrl-C and SIGTERM, after workers have stopped between two frames.
    """
    try:
        with terminable():
            return _preprocess(reader, output, settings, workers, part, rebuild, accept_disagreement)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not output.is_dir():
            raise UserError(removed(output)) from error
        place = error.filename or (output if error.errno in NO_ROOM else "")
        where = f"{place}: " if place else ""
        raise UserError(f"{where}{error.strerror or error}; put that right, then the same command goes on") from error
    except (MemoryError, BrokenProcessPool) as error:
        raise UserError(
            f"{output}: a process ran out of memory, was killed, or could not start (see above); the same command"
            " goes on, with fewer --workers perhaps"
        ) from error


def finish_folder(output: Path, max_fault_share: float) -> tuple[list[Skipped], list[Skipped]]:
    """Finish a dataset whose parts are all written; returns its faults and what was passed over. Raises UserError."""
    if not has_plan(output):
        raise UserError(f"{output}: no plan, so this is no folder of shards; make it with `zipmap preprocess`")
    with locked(output / LOCK_FILE):
        return finish(output, max_fault_share, run_here(None))


def _preprocess(
    reader: RawReader,
    output: Path,
    settings: EngineSettings,
    workers: int,
    part: tuple[int, int],
    rebuild: bool,
    accept_disagreement: bool,
) -> Report:
    _check_arguments(output, settings, workers, part)
    report = None if rebuild else _finished(output, reader, settings)
    if report is not None:
        return report
    with kept_in(output / TABLES_FOLDER, getattr(reader, "raw", None)), workers_of(reader, workers) as run:
        scenes = []
        if not has_plan(output) or rebuild:
            make_tables(reader, part, run)
            # Before anything is thrown away: a mistyped raw folder must not cost anyone's shards.
            scenes = list_scenes(reader)
        with locked(output / LOCK_FILE):
            plan = _plan(reader, scenes, output, settings, rebuild, run)
            shards = plan.shards()
            states = {shard.number: shard_state(output, shard, plan.fingerprint) for shard in shards}
            todo = shards_to_write(output, shards, states)
        mine = [shard for shard in todo if shard.number % part[1] == part[0] - 1]
        faults, passed_over, checks = [], [], Watch(output, plan, accept_disagreement)

        def write(chosen: list[ShardPlan]) -> None:
            arguments = [(output, shard, settings, plan.fingerprint) for shard in chosen]
            for written in run(_write, arguments, "shards"):
                faults.extend(written.faults)
                passed_over.extend(written.passed_over)
                checks.see(written.checks)

        checks.see([check for state in states.values() if state is not None for check in state.checks])
        write(mine)
        with locked(output / LOCK_FILE):
            looked_for = [shard for shard in shards if states[shard.number] is None] + mine
            missing = len({s.number for s in looked_for if shard_state(output, s, plan.fingerprint) is None})
            if not missing:
                try:
                    faults, passed_over = finish(output, settings.max_fault_share, run)
                except DamagedSidecars as damage:
                    again = [shard for shard in shards if shard.sidecar(output) in damage.files]
                    for shard in again:
                        shard.sidecar(output).unlink()
                    write(again)
                    mine += again
                    faults, passed_over = finish(output, settings.max_fault_share, run)
    verdict = checks.result() if missing else result_of(output)
    frames = plan.frame_count
    counts = (len(plan.scenes), frames, len(shards), len(mine), missing)
    skipped = (tuple(faults), by_reason(passed_over), tuple(left_out_of(plan)))
    return Report(output, not missing, *counts, *skipped, *verdict)


def _finished(output: Path, reader: RawReader, settings: EngineSettings) -> Report | None:
    """The report of a dataset of these settings that is finished and whole; None if there may be something to do or say.

    However many shards there are, this takes no more than a look at the plan and at the size of each file. Nothing is
    written, not even a lock: the folder may be on a read-only file system.
    """
    if planned_settings(output) != all_settings(reader, settings):
        return None
    finished, info = load_finished(output), dataset_info(output)
    if finished is None or info is None:
        return None
    faults, left_out = (tuple(Skipped(**fault) for fault in info[kind]) for kind in ("faults", "left_out"))
    share, scenes = settings.max_fault_share, finished.scenes
    passed_over = info["counts"].get("passed_over", 0)
    if len(faults) > share * (finished.frames - passed_over) or finished.lost_scenes > share * (
        scenes + finished.lost_scenes
    ):
        return None
    skipped = (faults, info.get("passed_over", {}), left_out)
    return Report(output, True, scenes, finished.frames, finished.shards, 0, 0, *skipped, *result_of(output))


def _check_arguments(output: Path, settings: EngineSettings, workers: int, part: tuple[int, int]) -> None:
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file; expected a new or empty folder, or one of shards, as --output")
    if not has_plan(output):
        refuse_foreign_folder(output)
    check_workers(workers)
    if not 1 <= part[0] <= part[1]:
        raise UserError(f"--part {part[0]}/{part[1]}: expected i/n with 1 <= i <= n")
    if settings.max_side < 16:
        raise UserError(f"--max-side {settings.max_side}: expected at least 16 pixels")
    if settings.frames_per_shard < 1:
        raise UserError(f"--frames-per-shard {settings.frames_per_shard}: expected 1 or more")
    if not 0 <= settings.max_fault_share <= 1:
        raise UserError(f"--max-fault-share {settings.max_fault_share}: expected a share from 0 to 1")


def _plan(
    reader: RawReader, scenes: list[RawScene], output: Path, settings: EngineSettings, rebuild: bool, run: Run
) -> Plan:
    """The plan that is there, if it is of these settings; otherwise a new one of these scenes."""
    wanted = all_settings(reader, settings)
    if rebuild:
        remove_shards(output)
    try:
        plan = load_plan(output)
    except DamagedPlan as damage:
        return _plan_anew(damage, scenes or list_scenes(reader), output, wanted, run)
    if plan is None:
        refuse_foreign_folder(output)
        plan = _new_plan(scenes or list_scenes(reader), wanted, run)
        save_plan(plan, output)
        return plan
    _refuse_other_settings(output, plan.settings, wanted)
    if not is_complete(output):
        renewed = _look_again(reader, plan, run)
        if renewed != plan:
            save_plan(renewed, output)
        plan = renewed
    return plan


def _plan_anew(damage: DamagedPlan, scenes: list[RawScene], output: Path, wanted: dict, run: Run) -> Plan:
    """A new plan in the place of a damaged one. Shards that fit it stay; if there are others only, they may be of other settings."""
    info = dataset_info(output)
    there = planned_settings(output) or (info and info["settings"])
    if there:
        _refuse_other_settings(output, there, wanted)
    plan = _new_plan(scenes, wanted, run)
    fits = any(shard_state(output, shard, plan.fingerprint) for shard in plan.shards())
    if not there and not fits and any(output.glob(f"{SIDECAR_FOLDER}/*/*.npz")):
        raise UserError(
            f"{output}: the plan is damaged, and no shard there is one of these settings and raw data. Use the same settings"
            " as before or another folder, or --rebuild to throw those shards away"
        ) from damage
    log.warning("%s: the plan was damaged and is made anew; shards that fit it stay", output)
    save_plan(plan, output)
    return plan


def _refuse_other_settings(output: Path, there: dict, wanted: dict) -> None:
    if there != wanted:
        changed = "; ".join(differences(there, wanted))
        raise UserError(
            f"{output}: holds shards made with other settings: {changed}. Use the same settings or another folder,"
            " or --rebuild to throw those shards away"
        )


def _look_again(reader: RawReader, plan: Plan, run: Run) -> Plan:
    """The plan with its troubled scenes planned anew: their raw files may have been mended."""
    arguments = [(scene.raw, scene.number, scene.first) for scene in plan.scenes if scene.troubled]
    renewed = {scene.number: scene for scene in run(_plan_scene, arguments, "plan")} if arguments else {}
    return replace(plan, scenes=tuple(renewed.get(scene.number, scene) for scene in plan.scenes))


def _new_plan(scenes: list[RawScene], wanted: dict, run: Run) -> Plan:
    arguments: list[tuple] = []
    first: dict[str, int] = {}
    for number, scene in enumerate(scene for scene in scenes if scene.frames):
        place = first.get(scene.split, 0)
        arguments.append((scene, number, place))
        first[scene.split] = place + len(scene.frames)
    left_out = tuple((scene.name, out.file, out.reason) for scene in scenes for out in scene.left_out)
    return Plan(wanted, tuple(sorted(run(_plan_scene, arguments, "plan"), key=lambda scene: scene.number)), left_out)


# Tasks of the workers.


def _plan_scene(job: Job, scene: RawScene, number: int, first: int) -> ScenePlan:
    if job.stopped():
        raise Stopped
    return plan_scene(job.reader, scene, number, first)


def _write(job: Job, output: Path, shard: ShardPlan, settings: EngineSettings, fingerprint: str) -> Written:
    return write_shard(job.reader, output, shard, settings, fingerprint, job.stopped)
