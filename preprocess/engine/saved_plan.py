"""The plan in its file, plan/plan.jsonl; `datasets.format.plan_file` has the format."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from zipmap_pl.datasets.format.plan_file import PLAN_FILE, pack_plan, parse_plan, parse_summary
from zipmap_pl.datasets.format.schema import PLAN_FOLDER
from zipmap_pl.errors import DamagedFile
from zipmap_pl.files import write_exclusively
from zipmap_pl.preprocess.engine.plan import Plan, ScenePlan
from zipmap_pl.preprocess.engine.settings import fingerprint


class DamagedPlan(DamagedFile):
    """A plan that is not what was written."""


def save_plan(plan: Plan, output: Path) -> None:
    """Write the plan: one file, so that a kill leaves the old plan or the new one."""
    summary = {
        "settings": plan.settings,
        "fingerprint": plan.fingerprint,
        "scenes": len(plan.scenes),
        "frames": plan.frame_count,
        "shards": len(plan.shards()),
        "left_out": plan.left_out,
    }
    write_exclusively(output / PLAN_FOLDER / PLAN_FILE, pack_plan(summary, [scene.written() for scene in plan.scenes]))


def has_plan(output: Path) -> bool:
    """Return True if a folder has a plan file, even a damaged one."""
    return (output / PLAN_FOLDER / PLAN_FILE).is_file()


def planned_settings(output: Path) -> dict:
    """The settings that the plan of a folder was made with, without reading all of it; {} if its first line is damaged."""
    try:
        with open(output / PLAN_FOLDER / PLAN_FILE, "rb") as file:
            return _settings_of(parse_summary(file.readline().removesuffix(b"\n")))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return {}


def load_plan(output: Path) -> Plan | None:
    """The plan of a folder; None if it has none. Raises DamagedPlan for any changed bit."""
    if not has_plan(output):
        return None
    file = output / PLAN_FOLDER / PLAN_FILE
    try:
        summary, lines = parse_plan(file.read_bytes())
        left_out = tuple((scene, file, reason) for scene, file, reason in summary.get("left_out", ()))
        return Plan(_settings_of(summary), tuple(_scenes_of(lines)), left_out)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedPlan(
            f"{file}: damaged plan ({error}); run the same `zipmap preprocess` again, which plans anew"
        ) from error


def _settings_of(summary: dict) -> dict:
    if fingerprint(summary["settings"]) != summary["fingerprint"]:
        raise ValueError("the settings have another fingerprint than its first line says")
    return summary["settings"]


def _scenes_of(lines: Iterable[bytes]) -> Iterator[ScenePlan]:
    for line in lines:
        fields = json.loads(line)
        fields["frames"] = tuple(fields["frames"])
        fields["size"] = fields["size"] and tuple(fields["size"])
        fields["raw_from_world"] = tuple(map(tuple, fields["raw_from_world"]))
        fields["streams"] = tuple(map(tuple, fields.get("streams", ())))
        fields["stream_sizes"] = tuple(size and tuple(size) for size in fields.get("stream_sizes", ()))
        fields["marks"] = tuple((place, tuple(marks)) for place, marks in fields.get("marks", ()))
        yield ScenePlan(**fields)
