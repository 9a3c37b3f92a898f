"""`zipmap demo`: generated rooms to shards, a small model trained on them, a held-out room reconstructed. What `make demo` runs."""

import argparse
from pathlib import Path

# What the demo promises on held-out rooms: its error relative to that of a predictor that knows nothing.
PROMISES = {"depth_abs_rel": 0.6, "rotation_error": 0.7}


def add_parser(subparsers) -> None:
    """Add `demo` to the `zipmap` command."""
    parser = subparsers.add_parser("demo", help="the whole way on generated scenes: shards, training, reconstruction")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the run, as for `zipmap fit`")


def run(arguments: argparse.Namespace) -> int:
    """Walk the whole way and say where everything is."""
    from zipmap_pl.cli.fit import prepare
    from zipmap_pl.training.config import compose

    config = compose(arguments.overrides)
    prepare(config.prepare)
    from zipmap_pl.training.fit import fit

    result = fit(config)
    results = reconstruct_held_out(config, result.checkpoint)
    print(table(result.before, result.after))
    print(f"TensorBoard   tensorboard --logdir {result.output / 'tensorboard'}")
    print(f"checkpoint    {result.checkpoint}")
    for what, path in results.items():
        print(f"{what:13s} {path}")
    return 0
