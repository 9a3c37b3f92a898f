"""`zipmap reconstruct IMAGES_OR_VIDEO --checkpoint C --output DIR`: cameras, depth, point cloud and a preview."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zipmap_pl.discovery import names_in
from zipmap_pl.errors import UserError
from zipmap_pl.inference import exporters

if TYPE_CHECKING:
    from zipmap_pl.inference.points import PointChoice

OPTIONS = (
    "reference_view",
    "max_views",
    "every",
    "width",
    "views_per_chunk",
    "export",
    "shared_camera",
    "upright",
    "device",
)


def add_parser(subparsers) -> None:
    """Add `reconstruct` to the `zipmap` command."""
    parser = subparsers.add_parser("reconstruct", help="photos or a video in; cameras, depth and a point cloud out")
    parser.add_argument(
        "source", type=Path, metavar="IMAGES_OR_VIDEO", help="folder of photos (sorted by name) or a video file"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        help="checkpoint folder, a run folder (its newest checkpoint), or published weights: a .pt or .safetensors file, "
        "or owner/name or owner/name/file on the Hugging Face hub",
    )
    parser.add_argument(
        "--reference-view",
        action=argparse.BooleanOptionalAction,
        help="whether the first view is the world frame, for published weights that do not tell",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the results; must be new or empty")
    parser.add_argument("--max-views", type=int, help="at most that many views, evenly spread (default: all)")
    parser.add_argument("--every", type=int, default=1, help="every n-th picture or frame (default 1)")
    parser.add_argument("--width", type=int, help="width at which the model sees the pictures (default: as trained)")
    parser.add_argument(
        "--views-per-chunk",
        type=int,
        help="hold so many views at once on the GPU and the rest in memory or a temporary file, for long sequences",
    )
    parser.add_argument(
        "--export",
        metavar="FORMAT[,FORMAT...]",
        help=f"what to write besides cameras.json, of {', '.join(names_in(exporters))} (default: {','.join(exporters.USUAL)})",
    )
    parser.add_argument(
        "--shared-camera",
        action="store_true",
        help="one lens for all photos of one size: their median focal lengths (default: one for each photo)",
    )
    parser.add_argument(
        "--upright",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="turn the GLB upright, by the gravity that the cameras suggest (default: on)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    add_point_options(parser.add_argument_group("the point cloud"))


def add_point_options(group) -> None:
    """Add one option for each field of `PointChoice`."""
    group.add_argument(
        "--confidence-percentile", type=float, default=20.0, help="drop points below this percentile (default 20)"
    )
    group.add_argument("--max-points", type=int, default=1_000_000, help="maximum number of points (default 1,000,000)")
    group.add_argument(
        "--edge-angle",
        type=float,
        default=3.0,
        help="drop points at depth edges: surfaces seen at less than this angle in degrees; 0 keeps them (default 3)",
    )
    group.add_argument(
        "--sky",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-sky drops what looks like sky by its color (indoors also white walls; default: keep)",
    )
    group.add_argument(
        "--voxel",
        type=float,
        default=0.0,
        help="keep one point per cube of this side, in the unit of cameras.json (about the mean distance of the points "
        "from the first camera); 0 keeps all (default)",
    )
    group.add_argument(
        "--points",
        choices=("depth", "head"),
        default="depth",
        help="make points from depth and camera, or from the point head (default depth)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct and say where everything is."""
    from zipmap_pl.inference.points import PointChoice

    check_options(arguments)
    chosen = {name: getattr(arguments, name) for name in OPTIONS}
    chosen["choice"] = PointChoice(
        arguments.confidence_percentile,
        arguments.max_points,
        arguments.edge_angle,
        arguments.sky,
        arguments.voxel,
        arguments.points,
    )
    for what, path in reconstruct_photos(arguments.source, arguments.checkpoint, arguments.output, **chosen).items():
        print(f"{what:14s} {path}")
    return 0


def check_options(arguments: argparse.Namespace) -> None:
    """Raise a UserError for a number out of range."""
    for name in ("every", "max_views", "width", "views_per_chunk", "max_points"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
    if not 0 <= arguments.confidence_percentile <= 100:
        raise UserError(f"--confidence-percentile {arguments.confidence_percentile}: expected a number from 0 to 100")
    if not 0 <= arguments.edge_angle < 90:
        raise UserError(f"--edge-angle {arguments.edge_angle}: expected an angle from 0 to below 90 degrees")
    if not 0 <= arguments.voxel < float("inf"):
        raise UserError(f"--voxel {arguments.voxel}: expected a length of 0 or more")


def reconstruct_photos(
    source: Path,
    checkpoint: Path,
    output: Path,
    export: str | None = None,
    choice: "PointChoice | None" = None,
    **options: Any,
) -> dict[str, Path]:
    """Load a checkpoint, reconstruct photos or a video, write the scene. Returns what was written by name.

    `output` is there with everything in it, or not at all. `options` are those of `zipmap_pl.reconstruct`.

    Raises UserError for what the command's options promise.
    """
    from zipmap_pl.inference.export import find_exporters, new_folder, write_scene
    from zipmap_pl.inference.from_photos import reconstruct
    from zipmap_pl.inference.points import USUAL_POINTS
    from zipmap_pl.progress import working

    formats = find_exporters(exporters.USUAL if export is None else export.split(","))
    with new_folder(output) as folder:
        scene = reconstruct(source, checkpoint, tell=print, **options)
        with working("writing cameras, depth and points"):
            paths = write_scene(folder, scene, formats, choice or USUAL_POINTS)
    return {name: output / path.relative_to(folder) for name, path in paths.items()}
