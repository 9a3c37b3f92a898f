"""`zipmap fit [KEY=VALUE ...]`: train. No arguments = the demo; every setting of conf/ can be overridden on the line."""

import argparse
import logging
import os
import sys

ALLOCATOR_SETTINGS = (
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_HIP_ALLOC_CONF",
)  # the last two: older names


def add_parser(subparsers) -> None:
    """Add `fit` to the `zipmap` command."""
    parser = subparsers.add_parser(
        "fit",
        help="train a stage (the same as python train.py)",
        description="Train. Without arguments: the demo. Examples: zipmap fit stage=own; zipmap fit data.views=[2,8] stage.steps=500",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="settings, as in Hydra: stage=own data.width=224"
    )
    parser.add_argument("--config-dir", help="folder with your own YAML groups; searched before the package's")
    parser.add_argument("--show", action="store_true", help="print the composed settings and stop")


def run(arguments: argparse.Namespace) -> int:
    """Compose the settings, prepare generated datasets, train."""
    let_segments_grow()
    from zipmap_pl.training.config import to_yaml
    from zipmap_pl.training.settings.retired import retired_settings
    from zipmap_pl.training.stage_selection import selected_stages
    from zipmap_pl.training.without_effect import overrides_without_effect, without_effect

    with retired_settings() as retired:
        stages = selected_stages(arguments.overrides, config_dir=arguments.config_dir)
    idle = [*retired, *without_effect(stages), *overrides_without_effect(arguments.overrides, stages)]
    if arguments.show:
        warn(idle)
        print("---\n".join(map(to_yaml, stages)))
        return 0
    prepare([command for stage in stages for command in stage.prepare])
    speak_plainly()
    from zipmap_pl.training.curriculum import run as train

    if _is_first_process():
        warn(idle)
    result = train(stages)
    if _is_first_process():
        print(result.summary())
    return 0


def let_segments_grow() -> None:
    """Let CUDA's allocator extend its segments, as published, unless the user has chosen; to be called before torch is loaded.

    The numbers of views and the heights of steps differ, which otherwise leaves memory in pieces.
    """
    if not any(name in os.environ for name in ALLOCATOR_SETTINGS):
        os.environ[ALLOCATOR_SETTINGS[0]] = "expandable_segments:True"


def warn(lines: list[str]) -> None:
    """Print warnings about settings to standard error."""
    for line in lines:
        print(f"settings: {line}", file=sys.stderr)


class OnTerminal(logging.Handler):
    """Writes to whatever standard error is at the moment: a bar puts itself there to stay below the messages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        print(self.format(record), file=sys.stderr)


def speak_plainly() -> None:
    """Let our own messages through to the terminal, and Lightning's only where something is wrong."""
    import warnings

    import lightning  # noqa: F401  it sets the level of its loggers when it is imported

    level = logging.INFO if _is_first_process() else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[OnTerminal()])
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    # Nothing is written in place into what a block or a head returns.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")


def _is_first_process() -> bool:
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0


def prepare(commands: list[str]) -> None:
    """Run the `zipmap preprocess` commands of a config whose data is generated; those that are complete take no time."""
    import shlex

    from zipmap_pl.cli.main import build_parser
    from zipmap_pl.cli.preprocess import run as preprocess

    for command in dict.fromkeys(commands):
        words = map(os.path.expanduser, shlex.split(command))
        preprocess(build_parser("preprocess").parse_args(["preprocess", *words]))
