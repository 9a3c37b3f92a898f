"""`zipmap demo`: generated rooms to shards, a small model trained on them, a held-out room reconstructed. What `make demo` runs."""

import argparse
from pathlib import Path

from zipmap_pl.errors import UserError

# What the demo promises on rooms it has never seen: error of the model / error of a predictor that knows nothing.
PROMISES = {"depth_abs_rel": 0.6, "rotation_deg": 0.7}
ROWS = {
    "depth_abs_rel": "depth, mean relative error after one scale per scene",
    "rotation_deg": "relative rotation between views, degrees",
    "translation_direction_deg": "direction of relative translation, degrees (not learned)",
}


def add_parser(subparsers) -> None:
    """Add `demo` to the `zipmap` command."""
    parser = subparsers.add_parser("demo", help="the whole way on generated scenes: shards, training, reconstruction")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the run, as for `zipmap fit`")


def run(arguments: argparse.Namespace) -> int:
    """Walk the whole way and say where everything is."""
    from zipmap_pl.cli.fit import let_segments_grow, prepare, speak_plainly
    from zipmap_pl.training.stage_selection import selected_stages

    let_segments_grow()
    stages = selected_stages(arguments.overrides)
    config = stages[-1]
    if "rooms" not in config.data.validation:
        raise UserError("demo: shows generated rooms, expected data=demo; for other data use `zipmap fit`")
    prepare([command for stage in stages for command in stage.prepare])
    speak_plainly()
    from zipmap_pl.training.curriculum import run as train

    result = train(stages)
    photos = write_photos(Path(config.data.validation["rooms"].path), result.output / "heldout_photos")
    scene = result.output / "reconstruction"
    results = reconstruct(photos, result.checkpoint, scene)
    print("\n" + table(result.before, result.after) + "\n")
    places = {
        "watch": f"tensorboard --logdir {result.output}",
        "checkpoint": result.checkpoint,
        "photos": photos,
        **results,
    }
    print("\n".join(f"{name:14s} {place}" for name, place in places.items()))
    return 0


def write_photos(shards: Path, folder: Path) -> Path:
    """Write the pictures of the first held-out scene as PNG files, as a user's photos would lie there."""
    import cv2

    from zipmap_pl.datasets.format.frame_reader import FrameReader, OpenFiles
    from zipmap_pl.datasets.format.shard_index import ShardIndex

    index = ShardIndex.open(shards)
    reader = FrameReader(index, OpenFiles())
    heldout = index.splits.index("heldout")
    scene = next(number for number in range(index.scene_count) if index["scene.split"][number] == heldout)
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(index.scene_rows(scene)):
        image = reader.read(row).image
        cv2.imwrite(str(folder / f"{number:02d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def reconstruct(photos: Path, checkpoint: Path, output: Path) -> dict[str, Path]:
    """What `zipmap reconstruct` does, over an older result of the demo if there is one."""
    import shutil

    from zipmap_pl.cli.reconstruct import reconstruct_photos

    shutil.rmtree(output, ignore_errors=True)
    return reconstruct_photos(photos, checkpoint, output)


def table(before: dict[str, float], after: dict[str, float]) -> str:
    """Held-out errors: a predictor that knows nothing, the untrained model (NaN after a resume), the trained one."""
    lines = [f"{'on rooms it has never seen':58s} {'knows nothing':>14s} {'untrained':>10s} {'trained':>8s}"]
    for name, label in ROWS.items():
        baseline, trained = after[f"{name}_baseline"], after[name]
        line = f"{label:58s} {baseline:14.3f} {before.get(name, float('nan')):10.3f} {trained:8.3f}"
        if name in PROMISES:
            kept = "as promised" if trained < PROMISES[name] * baseline else "NOT as promised"
            line += f"   {trained / baseline:.2f} of knowing nothing, {kept} (below {PROMISES[name]})"
        lines.append(line)
    return "\n".join(lines)
