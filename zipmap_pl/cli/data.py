"""`zipmap data show [KEY=VALUE ...]`: look at the batches that a run with these settings will train on."""

import argparse
from pathlib import Path

from zipmap_pl.errors import UserError


def add_parser(subparsers) -> None:
    """Add `data` to the `zipmap` command."""
    parser = subparsers.add_parser("data", help="look at the batches that a run will train on")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="draw the next batches as a picture sheet",
        description="Say which data were found and how they are mixed, and draw the next batches: pictures and depth as"
        " the model sees them, cameras from above. Settings are those of `zipmap fit`.",
    )
    show.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, as for `zipmap fit`")
    show.add_argument("--config-dir", help="folder with your own YAML groups; searched before the package's")
    show.add_argument("--batches", type=int, default=2, metavar="N", help="batches to draw (default: %(default)s)")
    show.add_argument("--step", type=int, default=0, metavar="K", help="first step of the stage (default: %(default)s)")
    show.add_argument(
        "--output",
        type=Path,
        default=Path("batches.png"),
        metavar="FILE",
        help="picture to write (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compose the settings, prepare generated datasets, draw batches."""
    from zipmap_pl.cli.fit import prepare, warn
    from zipmap_pl.cli.sheet_file import check_sheet_file, write_sheet
    from zipmap_pl.training.config import compose
    from zipmap_pl.training.settings.retired import retired_settings

    check_sheet_file(arguments.output)
    with retired_settings() as retired:
        config = compose(arguments.overrides, config_dir=arguments.config_dir)
    warn(retired)
    if arguments.batches < 1:
        raise UserError(f"--batches {arguments.batches}: expected 1 or more")
    if not 0 <= arguments.step < config.stage.steps:
        raise UserError(f"--step {arguments.step}: expected 0 to {config.stage.steps - 1}, the steps of the stage")
    prepare(config.prepare)

    from dataclasses import replace
    from itertools import islice

    from zipmap_pl.datasets.data_module import ZooDataModule
    from zipmap_pl.datasets.inspection.batch_sheet import batch_sheet

    settings = replace(config.data, workers=0)  # the batches are the same
    data = ZooDataModule(settings, arguments.step, config.stage.steps, config.facts())
    data.setup()
    drawn = data.describe_draws()
    print("\n".join([*data.describe(), drawn]))
    batches = list(islice(data.train_dataloader(), arguments.batches))
    for fault in (fault for batch in batches for fault in batch.faults):
        print(f"replaced by another draw: {fault}")
    title = f"stage {config.stage.name}, step {arguments.step} on; {settings.batches} batches\n{drawn}"
    write_sheet(arguments.output, batch_sheet(batches, title))
    print(arguments.output)
    return 0
