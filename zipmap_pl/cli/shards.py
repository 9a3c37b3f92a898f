"""`zipmap shards info|verify|show|finish DIR`: look at, check and finish datasets in shards."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zipmap_pl.cli.words import counted, passed_over_lines
from zipmap_pl.errors import UserError

if TYPE_CHECKING:
    from zipmap_pl.datasets.format.shard_index import ShardIndex
    from zipmap_pl.datasets.inspection.agreement import Agreement

LISTED_SCENES = 20
REMEDY = (
    "check the options for axes, pose direction, intrinsics and depth scale, and that poses and pictures belong together"
    " (docs/own_data.md); where much moves, or frames lie far apart (--step), right data may disagree too"
)


def add_parser(subparsers) -> None:
    """Add `shards` to the `zipmap` command."""
    from zipmap_pl.preprocess.engine.settings import DEFAULT_MAX_FAULT_SHARE

    parser = subparsers.add_parser("shards", help="look at, check and finish datasets in shards")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    info = actions.add_parser("info", help="counts, sizes, and whether depth and cameras agree with each other")
    text = "compare depth of frame i with i + K now (default: show what was found while writing)"
    info.add_argument("--step", type=int, metavar="K", help=text)
    verify = actions.add_parser("verify", help="check every byte against the index; status 1 if anything is damaged")
    text = "and hold it against another folder, made on another kind of processor perhaps: decoded values, not bytes"
    verify.add_argument("--against", type=Path, metavar="DIR", help=text)
    show = actions.add_parser("show", help="draw a contact sheet: pictures, depth, cameras from above")
    show.add_argument(
        "--output", type=Path, default=Path("contact_sheet.png"), metavar="FILE", help="default: %(default)s"
    )
    show.add_argument("--scene", metavar="NAME", help="scene by name or number (default: the first)")
    show.add_argument("--frames", type=int, default=8, metavar="N", help="frames to draw (default: %(default)s)")
    finish = actions.add_parser("finish", help="merge finished shards into the index, when all parts are done")
    text = "share of frames that may be unusable (default: %(default)s)"
    finish.add_argument("--max-fault-share", type=float, default=DEFAULT_MAX_FAULT_SHARE, metavar="SHARE", help=text)
    for action in (info, show):
        action.add_argument("folder", metavar="DIR", help="dataset folder, or its URL")
    for action in (verify, finish):
        action.add_argument("folder", type=Path, metavar="DIR", help="dataset folder")


def run(args: argparse.Namespace) -> int:
    """Run one action. Returns 1 if `verify` found damage or a difference. Raises UserError."""
    return {"info": _info, "verify": _verify, "show": _show, "finish": _finish}[args.action](args)


def _info(args: argparse.Namespace) -> int:
    from zipmap_pl.datasets.format.index_check import open_checked

    if args.step is not None and args.step < 1:
        raise UserError(f"--step {args.step}: expected 1 or more")
    print(info_text(open_checked(args.folder), args.step))
    return 0


def info_text(index: "ShardIndex", step: int | None) -> str:
    """What a dataset holds, for people; lists the first 20 scenes (and all that disagree) with what was checked.

    With a step, depth and cameras of the first 20 scenes are compared anew, that many frames apart.
    """
    import numpy as np

    info, counts = index.info, index.info["counts"]
    splits, frames = index["scene.split"], index["scene.frame_count"]
    heights, widths = index["frame.size"].T
    other = f"frame i + {step}" if step else "frame i + 5 (or the one that shows more)"
    lines = [
        f"{info['title']} ({info['slug']}; {info['kind']}, {info['source']}; licence: {info['licence']})",
        f"{counted(counts['frames'], 'frame')} of {counted(counts['scenes'], 'scene')} in {counted(counts['shards'], 'shard')},"
        f" {counts['bytes'] / 1e6:.1f} MB; {counted(counts['faults'], 'unusable frame')} left out",
        *[
            f"split {name}: {counted(int(np.sum(splits == k)), 'scene')}, {counted(int(frames[splits == k].sum()), 'frame')}"
            for k, name in enumerate(index.splits)
        ],
        f"pictures {widths.min()}x{heights.min()} to {widths.max()}x{heights.max()};"
        f" valid depth {float(np.mean(index['frame.valid_share'])):.1%} of pixels",
        *passed_over_lines(info.get("passed_over", {})),
        *[f"left out: {out['scene']}: {out['file']}: {out['reason']}" for out in info["left_out"][:LISTED_SCENES]],
        f"depth of frame i, warped into {other} by the cameras, compared with the depth found there:",
    ]
    return "\n".join(lines + _scene_lines(index, step))


def _scene_lines(index: "ShardIndex", step: int | None) -> list[str]:
    from zipmap_pl.datasets.inspection.agreement import FEW, scene_agreement, written_agreements

    if step is None:
        agreements = list(written_agreements(index))
    else:
        agreements = [scene_agreement(index, scene, step) for scene in range(min(index.scene_count, LISTED_SCENES))]
    wrong = [scene for scene, agreement in enumerate(agreements) if agreement.disagrees]
    listed = [*range(min(index.scene_count, LISTED_SCENES)), *(scene for scene in wrong if scene >= LISTED_SCENES)]
    listed = listed[: 2 * LISTED_SCENES]
    lines = ["  " + scene_text(index, scene, agreements[scene]) for scene in listed]
    if index.scene_count > len(listed):
        lines.append(f"  ... and {index.scene_count - len(listed)} more scenes")
    checked = sum(agreement.checked for agreement in agreements)
    if len(wrong) > FEW * checked:
        lines.append(f"DISAGREEMENT in {len(wrong)} of {counted(checked, 'compared scene')}: {REMEDY}")
    return lines


def scene_text(index: "ShardIndex", scene: int, agreement: "Agreement") -> str:
    """One line about a scene."""
    frames = int(index["scene.frame_count"][scene])
    head = f"{index.text('scene.name', scene)}: {frames} frames, 1 unit = {index.unit_text(scene)}; "
    if frames < 2:
        return head + "nothing to compare"
    tail = f"; steps up to {index['scene.largest_step'][scene]:.1f} times the median"
    tail += f", turns up to {index['scene.largest_turn'][scene]:.0f} degrees"
    tail += f"; depth on {float(index['scene.valid_share'][scene]):.0%} of pixels"
    if agreement.checked:
        within = f"{agreement.good_share:.0%} of pixels within {agreement.rule.within:.0%}"
        shares = f"median difference {agreement.median_relative:.2%}, {within}"
        return head + shares + tail + (" - DISAGREES" if agreement.disagrees else "")
    if not index["scene.valid_share"][scene] > 0:
        return head + "no depth" + tail.rsplit(";", 1)[0]
    return head + "not checked: too few pixels are seen by two frames" + tail


def _verify(args: argparse.Namespace) -> int:
    from zipmap_pl.datasets.inspection.verification import verify

    problems = verify(args.folder)
    if not problems and args.against is not None:
        from zipmap_pl.datasets.inspection.comparison import compare_datasets

        problems = compare_datasets(args.folder, args.against)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{args.folder}: whole" + (f", and the same as {args.against}" if args.against else ""))
    return 1 if problems else 0


def _show(args: argparse.Namespace) -> int:
    from zipmap_pl.cli.sheet_file import check_sheet_file, write_sheet
    from zipmap_pl.datasets.inspection.contact_sheet import contact_sheet

    if args.frames < 1:
        raise UserError(f"--frames {args.frames}: expected 1 or more")
    check_sheet_file(args.output)
    scene = int(args.scene) if args.scene is not None and args.scene.isdecimal() else args.scene
    write_sheet(args.output, contact_sheet(args.folder, scene, args.frames))
    print(args.output)
    return 0


def _finish(args: argparse.Namespace) -> int:
    from zipmap_pl.preprocess.engine.run import finish_folder

    faults, passed_over = finish_folder(args.folder, args.max_fault_share)
    tail = f", {len(passed_over)} passed over" if passed_over else ""
    print(f"{args.folder}: complete, {len(faults)} unusable frames left out{tail}")
    return 0
