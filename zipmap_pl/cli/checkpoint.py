"""`zipmap checkpoint consolidate FOLDER --output FILE`: one file of weights out of a checkpoint, of however many parts."""

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    """Add `checkpoint` to the `zipmap` command."""
    parser = subparsers.add_parser("checkpoint", help="make one file of weights out of a checkpoint folder")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    consolidate = actions.add_parser(
        "consolidate",
        help="one file of weights in the published layout, out of a checkpoint of however many parts",
    )
    consolidate.add_argument("folder", type=Path, help="a checkpoint (step-NNNNNNNN), or a run: its newest one")
    consolidate.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="to write: .safetensors or .pt; replaced if it is there",
    )
    consolidate.add_argument("--ema", action="store_true", help="the averages of the weights instead of the weights")


def run(arguments: argparse.Namespace) -> int:
    """Read, check, write."""
    from zipmap_pl.checkpoints.folder import read_averages
    from zipmap_pl.checkpoints.load import load_model
    from zipmap_pl.checkpoints.published import save_published
    from zipmap_pl.errors import UserError

    loaded = load_model(arguments.folder)
    if arguments.ema:
        averages = read_averages(loaded.folder)
        if averages is None:
            raise UserError(f"{loaded.folder}: holds no averages (stage.ema.decay was 0); leave out --ema")
        loaded.model.load_state_dict(dict(averages), strict=False)  # what is not trained has none
    what = "averages" if arguments.ema else "weights"
    save_published(loaded.model, arguments.output, loaded.manifest.pictures)
    print(f"{arguments.output}: the {what} of {loaded.folder}, {loaded.manifest.step} steps of {loaded.manifest.stage}")
    return 0
