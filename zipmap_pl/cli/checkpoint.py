"""`zipmap checkpoint info|consolidate|push|pull`: what weights are; one file of them; to the Hugging Face hub and back."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zipmap_pl.checkpoints.description import Description

WIDTH = 26  # of the names that `info` prints
A_CHECKPOINT = "a checkpoint (step-NNNNNNNN), or a run: its newest one"


def add_parser(subparsers) -> None:
    """Add `checkpoint` to the `zipmap` command."""
    parser = subparsers.add_parser("checkpoint", help="what weights are; one file of them; to the hub and back")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    info = actions.add_parser("info", help="what a checkpoint is, how it was made, on which data under which licences")
    text = f"{A_CHECKPOINT}; a .pt or .safetensors file; or owner/name[/file] on the Hugging Face hub, without download"
    info.add_argument("source", help=text)
    consolidate = actions.add_parser(
        "consolidate",
        help="one file of weights in the published layout, out of a checkpoint of however many parts",
    )
    text = "to write: .safetensors or .pt; replaced if it is there"
    consolidate.add_argument("folder", type=Path, help=A_CHECKPOINT)
    consolidate.add_argument("--output", type=Path, required=True, metavar="FILE", help=text)
    push = actions.add_parser("push", help="weights and a model card to the Hugging Face hub; again, to continue")
    push.add_argument("folder", type=Path, help=A_CHECKPOINT)
    push.add_argument("repository", help="owner/name; made if it is not there")
    push.add_argument("--private", action="store_true", help="a new repository is for its owner only")
    text = (
        "the hub's name of the licence of your weights, such as apache-2.0 (default: other; weights that started from "
    )
    text += "published ones: cc-by-nc-4.0)"
    push.add_argument("--license", metavar="NAME", help=text)
    push.add_argument("--dry-run", action="store_true", help="print the model card and the files, and send nothing")
    for action in (consolidate, push):
        action.add_argument("--ema", action="store_true", help="the averages of the weights instead of the weights")
    pull = actions.add_parser("pull", help="weights of the Hugging Face hub into a folder; again, to resume")
    pull.add_argument("source", help="owner/name or owner/name/file")
    text = "a new or empty folder, or one that was pulled to"
    pull.add_argument("--output", type=Path, required=True, metavar="DIR", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    {"info": _info, "consolidate": _consolidate, "push": _push, "pull": _pull}[arguments.action](arguments)
    return 0


def _info(arguments: argparse.Namespace) -> None:
    from zipmap_pl.checkpoints.description import describe

    _show(describe(arguments.source))


def _show(told: "Description") -> None:
    from zipmap_pl.checkpoints.description import rows

    print(told.name)
    for name, value in rows(told):
        print(f"  {name:{WIDTH}} {value}")


def _consolidate(arguments: argparse.Namespace) -> None:
    """Read, check, write."""
    from zipmap_pl.checkpoints.history import history_of
    from zipmap_pl.checkpoints.published import save_published
    from zipmap_pl.checkpoints.share import load_to_share

    loaded = load_to_share(arguments.folder, arguments.ema)
    manifest = loaded.manifest
    save_published(loaded.model, arguments.output, manifest.pictures, history_of(manifest, arguments.ema))
    what = "averages" if arguments.ema else "weights"
    print(f"{arguments.output}: the {what} of {loaded.folder}, {manifest.step} steps of {manifest.stage}")


def _push(arguments: argparse.Namespace) -> None:
    from zipmap_pl.checkpoints.share import packed, require_repository, require_token, send
    from zipmap_pl.progress import working

    require_repository(arguments.repository)
    if not arguments.dry_run:
        require_token(arguments.repository)
    with packed(arguments.folder, arguments.repository, arguments.ema, arguments.license) as package:
        if arguments.dry_run:
            print(package.card)
        for file in sorted(package.folder.iterdir()):
            print(f"{file.name:{WIDTH}} {file.stat().st_size / 1e6:.1f} MB")
        if arguments.dry_run:
            print(f"nothing was sent; without --dry-run this goes to {arguments.repository}")
            return
        with working(f"sending to {arguments.repository}"):
            address = send(package, arguments.repository, arguments.private)
    print(address)


def _pull(arguments: argparse.Namespace) -> None:
    from zipmap_pl.checkpoints.description import describe
    from zipmap_pl.checkpoints.share import pull

    _show(describe(str(pull(arguments.source, arguments.output))))
