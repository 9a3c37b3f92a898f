"""`zipmap reconstruct IMAGES_OR_VIDEO --checkpoint C --output DIR`: cameras, depth, point cloud and a preview."""

import argparse
from pathlib import Path

from zipmap_pl.errors import UserError


def add_parser(subparsers) -> None:
    """Add `reconstruct` to the `zipmap` command."""
    parser = subparsers.add_parser("reconstruct", help="photos or a video in; cameras, depth and a point cloud out")
    parser.add_argument("source", type=Path, metavar="IMAGES_OR_VIDEO", help="folder of photos (sorted by name) or a video file")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder, or a run folder (its newest checkpoint)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results; must be new or empty")
    parser.add_argument("--max-views", type=int, help="at most that many views, evenly spread (default: all)")
    parser.add_argument("--every", type=int, default=1, help="every n-th picture or frame (default 1)")
    parser.add_argument("--width", type=int, help="width at which the model sees the pictures (default: as trained)")
    parser.add_argument("--confidence-percentile", type=float, default=20.0, help="drop points below it (default 20)")
    parser.add_argument("--max-points", type=int, default=1_000_000, help="at most that many points (default 1,000,000)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and say where everything is."""
    _check(arguments)
    import torch

    from zipmap_pl.checkpoints.load import load_model
    from zipmap_pl.inference.export import write_scene
    from zipmap_pl.inference.pictures import load_pictures
    from zipmap_pl.inference.reconstruct import reconstruct

    name = arguments.device if arguments.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(arguments.checkpoint)
    seen = loaded.manifest.data
    width = arguments.width or seen["width"]
    patch = loaded.config.patch_size
    if width % patch:
        raise UserError(f"--width {width}: expected a multiple of the patch size {patch}")
    pictures = load_pictures(arguments.source, width, patch, tuple(seen["aspect"]), arguments.max_views, arguments.every)
    scene = reconstruct(loaded.model, pictures, torch.device(name))
    for what, path in write_scene(arguments.output, scene, arguments.confidence_percentile, arguments.max_points).items():
        print(f"{what:14s} {path}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.output.exists() and any(arguments.output.iterdir()):
        raise UserError(f"{arguments.output}: not empty, expected a new folder for the results; choose another --output")
    if arguments.every < 1 or (arguments.max_views is not None and arguments.max_views < 1):
        raise UserError("--every and --max-views: expected a number of 1 or more")
