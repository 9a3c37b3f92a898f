"""`zipmap plan [KEY=VALUE ...] gpu=80GB`: will a stage fit into the memory of a GPU, and what to change if not."""

import argparse
import re
from typing import TYPE_CHECKING

from zipmap_pl.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zipmap_pl.memory.estimate import MemoryEstimate
    from zipmap_pl.training.config import RunConfig

GIB = 2**30
DOES_NOT_FIT = 1


def add_parser(subparsers) -> None:
    """Add `plan` to the `zipmap` command."""
    parser = subparsers.add_parser(
        "plan",
        help="will a stage fit into the memory of a GPU",
        description="Compute what a stage takes of each GPU: no weights, no data and no GPU are needed. Settings are those"
        " of `zipmap fit`. Exit status 1: it does not fit. Example: zipmap plan stage=static trainer.devices=8 gpu=80GB",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="settings, as for `zipmap fit`, and gpu=80GB: its memory"
    )
    parser.add_argument("--config-dir", help="folder with your own YAML groups; searched before the package's")


def run(arguments: argparse.Namespace) -> int:
    """Plan every stage that the settings ask for. Returns 1 if one does not fit."""
    overrides, capacity = split_gpu(arguments.overrides)
    from zipmap_pl.cli.fit import warn
    from zipmap_pl.training.settings.retired import retired_settings
    from zipmap_pl.training.stage_selection import selected_stages

    def stages(more: str = "") -> "list[RunConfig]":
        replaced = {setting.partition("=")[0] for setting in more.split()}
        kept = [text for text in overrides if text.partition("=")[0] not in replaced]
        return selected_stages([*kept, *more.split()], config_dir=arguments.config_dir)

    def changed(place: int) -> "Callable[[str], RunConfig]":
        return lambda more: stages(more)[place]

    with retired_settings() as retired:
        status = max([report(config, capacity, changed(place)) for place, config in enumerate(stages())])
    warn(retired)
    return status


def split_gpu(overrides: list[str]) -> tuple[list[str], int]:
    """The settings of a run, and the bytes that `gpu=` says.

    Raises:
        UserError: it is missing, or no size.
    """
    sizes = [text.removeprefix("gpu=") for text in overrides if text.startswith("gpu=")]
    if not sizes:
        raise UserError("gpu is missing, expected the memory of a GPU, for example gpu=80GB")
    size = re.fullmatch(r"(\d+(?:\.\d+)?)(?:Gi?B?)?", sizes[-1], flags=re.IGNORECASE)
    if size is None or float(size[1]) == 0:
        raise UserError(f"gpu is {sizes[-1]}, expected the memory of a GPU, for example gpu=80GB")
    return [text for text in overrides if not text.startswith("gpu=")], int(float(size[1]) * GIB)


def report(config: "RunConfig", capacity: int, compose: "Callable[[str], RunConfig]") -> int:
    """Print the estimate of one stage, and where it does not fit what would; `compose`: the same stage with more settings."""
    from zipmap_pl.memory.advice import accumulated, changes
    from zipmap_pl.memory.estimate import estimate_memory
    from zipmap_pl.training.parallel.strategies import world_of

    world = world_of(config.trainer)
    estimate = estimate_memory(config, world, capacity)
    print("\n".join(lines(config, estimate)))
    if estimate.fits:
        return 0
    print("what would change that:")
    for change in changes(config, estimate, world, compose):
        print(f"  {change.settings}: {verdict(change.estimate)}")
        fewer = re.search(r"images_per_gpu=(\d+)", change.settings)
        if fewer is not None:
            told, together = accumulated(config, world, capacity, int(fewer[1]))
            print(f"    with {together.settings}, {told}: {verdict(together.estimate)}")
    return DOES_NOT_FIT


def verdict(estimate: "MemoryEstimate") -> str:
    """What a change leads to."""
    return f"{gib(estimate.total)}, {'fits' if estimate.fits else 'does not fit either'}"


def lines(config: "RunConfig", estimate: "MemoryEstimate") -> list[str]:
    """The estimate as text."""
    shape, sharing = estimate.shape, estimate.sharing
    numbers = "; ".join(f"{name} {count / 1e6:,.1f} M" for name, count in estimate.groups.items())
    checkpointing = "with" if config.model.checkpoint_activations else "without"
    return [
        f"stage {config.stage.name}: {sum(estimate.groups.values()) / 1e6:,.1f} M parameters: {numbers}",
        f"{sharing.processes} GPU(s), {sharing.name}; {shape.scenes} x {shape.views} images of {shape.width} x"
        f" {shape.height} on each, {checkpointing} activation checkpointing",
        *(f"  {name:<52}{gib(size):>12}" for name, size in rows(estimate).items() if size),
        f"  {'total, at its fullest (' + estimate.phase + ')':<52}{gib(estimate.total):>12}  of {gib(estimate.capacity)}",
        f"{'fits' if estimate.fits else 'does not fit'} (computed, not measured on a GPU)",
    ]


def rows(estimate: "MemoryEstimate") -> dict[str, int]:
    """Name -> bytes of each part."""
    return {
        "parameters, float32": estimate.parameters,
        "gradients": estimate.gradients,
        "optimiser states (two moments)": estimate.optimizer,
        "averaged weights (EMA)": estimate.averages,
        "gathered by FSDP for a moment": estimate.gathered,
        "weights of LPIPS": estimate.perceptual,
        "batch": estimate.batch,
        "activations kept by the forward pass": estimate.kept,
        "losses and backward pass, on top": estimate.working,
        "reserve: CUDA context and workspaces 1.5 GiB, + 5 %": estimate.reserve,
    }


def gib(size: int) -> str:
    """Bytes for people."""
    return f"{size / GIB:,.1f} GiB"
