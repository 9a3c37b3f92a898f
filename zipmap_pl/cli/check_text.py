"""What `zipmap preprocess NAME RAW --check` prints."""

import math
from typing import TYPE_CHECKING

from zipmap_pl.cli.words import counted, passed_over_lines

if TYPE_CHECKING:
    from zipmap_pl.preprocess.engine.dry_run import Look, SceneLook
    from zipmap_pl.preprocess.engine.readings import Fit

LISTED = 10  # things that are missing


def check_text(name: str, look: "Look", workers: int) -> str:
    """What a dry run shows, for people."""
    lines = [_counts(name, look), *_missing(look), _expected(look, workers)]
    lines += [_scene_line(scene) for scene in look.looks]
    return "\n".join([*lines, *_table(look), verdict(look)])


def verdict(look: "Look") -> str:
    """The last line: right, wrong and how, or why that cannot be said. As many scenes may disagree as in a whole run."""
    from zipmap_pl.datasets.inspection.agreement import FEW

    better = look.better()
    if better:
        (name, _), *others = better
        also = f"; less so: {', '.join(other for other, _ in others)}" if others else ""
        return f"WRONG: {_better_text(look, name)}{also}"
    checked = [scene.agreement for scene in look.looks if scene.agreement.checked]
    disagreeing = sum(agreement.disagrees for agreement in checked)
    if not checked:
        return "not checked: no two frames see enough of the same depth"
    if disagreeing > FEW * len(checked):
        return "WRONG: depth and cameras disagree, and none of the known mistakes explains it"
    undecided = look.undecided()
    if undecided and all(name in undecided for name in _names(look)):
        return "undecided: the cameras hardly move, so all readings agree; look at more scenes with --check-scenes"
    tail = f"; not to be told apart here: {', '.join(undecided)}" if undecided else ""
    if disagreeing:
        tail += f"; depth and cameras of {disagreeing} in {len(checked)} scenes disagree all the same"
    return f"right: no other reading agrees better{tail}"


def _better_text(look: "Look", name: str) -> str:
    """What the better reading is, in the scene where it gains most."""
    place = _names(look).index(name) + 1
    table = max(look.tables(), key=lambda table: table.gain(place))
    now, then = table.fits[0], table.fits[place]
    what = "read with " if _is_alternative(name) else "without the mistake "
    note = f" ({then.note})" if then.note else ""
    return f"{what}{name!r}{note}, {_cell(then)} of the depth agrees instead of {_cell(now).replace('-', 'none')}"


def _is_alternative(name: str) -> bool:
    """Return True for what the reader itself offers."""
    from zipmap_pl.preprocess.engine.mistakes import MISTAKES

    return name not in {mistake.name for mistake in MISTAKES}


def is_wrong(look: "Look") -> bool:
    """Return True if the verdict is that the data are misread."""
    return verdict(look).startswith("WRONG")


def _counts(name: str, look: "Look") -> str:
    scenes, frames = (sum(counts[k] for counts in look.scenes.values()) for k in (0, 1))
    splits = "; ".join(
        f"{split}: {counted(n, 'scene')}, {counted(f, 'frame')}" for split, (n, f) in look.scenes.items()
    )
    return f"{name}: {counted(scenes, 'scene')}, {counted(frames, 'frame')} ({splits})"


def _missing(look: "Look") -> list[str]:
    """What was left out while scenes were listed, and what is unusable of the frames that were read."""
    from zipmap_pl.preprocess.engine.state import named_once

    left_out = [f"left out: {scene}: {file}: {reason}" for scene, file, reason in look.left_out]
    unusable = [f"unusable: {line}" for line in named_once(look.report.faults)]
    lines = [f"  {line}" for part in (left_out, unusable) for line in part[:LISTED]]
    hidden = sum(max(0, len(part) - LISTED) for part in (left_out, unusable))
    lines += [f"  ... and {hidden} more"] if hidden else []
    lines += [f"  {line}" for line in passed_over_lines(look.report.passed_over)]
    return lines or ["  nothing is missing in what was looked at"]


def _expected(look: "Look", workers: int) -> str:
    hours = look.hours / workers
    duration = f"{hours:.1f} hours" if hours >= 1 else counted(max(1, math.ceil(60 * hours)), "minute")
    size = f"{look.gigabytes:.1f} GB" if look.gigabytes >= 0.1 else f"{1000 * look.gigabytes:.1f} MB"
    return (
        f"expected: about {size} of shards, {duration} with {counted(workers, 'worker')}"
        f" (from {counted(look.report.frames_planned, 'frame')} of {counted(look.report.scenes, 'scene')})"
    )


def _scene_line(scene: "SceneLook") -> str:
    def length(value: float) -> str:
        return "unknown" if math.isnan(value) else f"{value:.3g} {scene.unit}"

    agreement = scene.agreement
    agrees = "not checked"
    if agreement.checked:
        agrees = (
            f"{agreement.good_share:.0%} within {agreement.rule.within:.0%}, median {agreement.median_relative:.2%}"
        )
        agrees += " - DISAGREES" if agreement.disagrees else ""
    return (
        f"{scene.split}/{scene.name}: {counted(scene.frames, 'frame')}, median depth {length(scene.median_depth)}, camera"
        f" step {length(scene.step)} per frame, depth on {scene.known:.0%} of pixels, sky {scene.sky:.0%}; {agrees}"
    )


def _names(look: "Look") -> list[str]:
    return [fit.name for fit in look.tables()[0].fits[1:]] if look.tables() else []


def _table(look: "Look") -> list[str]:
    """A row for each reading, a column for each scene: the share of the pixels that agree."""
    tables = look.tables()
    if not tables:
        return []
    columns = [[_cell(table.fits[row]) for table in tables] for row in range(len(tables[0].fits))]
    names = [tables[0].fits[0].name, *(name if _is_alternative(name) else f"without: {name}" for name in _names(look))]
    width = max(map(len, names))
    head = " ".join(f"{f'{100 * table.tolerance:.1f} %':>10}" for table in tables)
    rows = [
        f"  {name:<{width}} {' '.join(f'{cell:>10}' for cell in cells)}"
        for name, cells in zip(names, columns, strict=True)
    ]
    return [
        "share of the pixels whose depth agrees to within (as finely as each scene allows):",
        f"  {'':<{width}} {head}",
        *rows,
    ]


def _cell(fit: "Fit") -> str:
    return "-" if fit.share is None else f"{fit.share:.0%}"
