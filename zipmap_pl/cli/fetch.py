"""`zipmap fetch NAME ...`: published weights into the caches of this machine, for everything that follows to work without a network."""

import argparse
from pathlib import Path

from zipmap_pl.errors import UserError

LPIPS = "lpips"
ON_THE_HUB = {  # name -> file on the Hugging Face hub
    "vggt": "facebook/VGGT-1B/model.safetensors",
    "zipmap": "coast01/ZipMap/checkpoint_aff_inv.pt",
    "zipmap_reference_view": "coast01/ZipMap/checkpoint_with_ref_view.pt",
    "zipmap_streaming": "coast01/ZipMap/checkpoint_online.pt",
    "zipmap_query": "coast01/ZipMap/checkpoint_state_query.pt",
}


def add_parser(subparsers) -> None:
    """Add `fetch` to the `zipmap` command."""
    parser = subparsers.add_parser(
        "fetch",
        help="published weights into the caches of this machine",
        description="Download published weights once: "
        + "; ".join(f"{name}: {file}" for name, file in ON_THE_HUB.items())
        + "; lpips: torchvision's VGG16, for the colours of state-query stages. Afterwards HF_HUB_OFFLINE=1 works.",
    )
    parser.add_argument("names", nargs="+", choices=[*ON_THE_HUB, LPIPS], metavar="NAME", help="which weights")


def run(arguments: argparse.Namespace) -> int:
    """Fetch one after the other and say where each lies."""
    for name in dict.fromkeys(arguments.names):
        print(f"{name:22s} {fetch_vgg() if name == LPIPS else fetch_from_hub(ON_THE_HUB[name])}")
    if set(arguments.names) - {LPIPS}:
        from zipmap_pl.checkpoints.published import PUBLISHED_TERMS

        print(PUBLISHED_TERMS)
    return 0


def fetch_from_hub(file: str) -> Path:
    """A file of the hub, and the settings beside it, in the hub's cache. Raises UserError in one line why not."""
    from zipmap_pl.checkpoints.hub import fetch, fetch_settings, parse_hub_id

    hub_id = parse_hub_id(file)
    if hub_id is None:
        raise ValueError(f"{file} is not the name of a file on the hub")
    path = fetch(hub_id)
    fetch_settings(hub_id.repository)
    return path


def fetch_vgg() -> Path:
    """The weights of VGG16 in torchvision's cache, checked against the hash in their name. Raises UserError."""
    import torch

    from zipmap_pl.losses.perceptual import VGG_URL, default_vgg_path

    path = default_vgg_path()
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(VGG_URL, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:  # no connection, disk full; the hash differs
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{VGG_URL}: not to be had ({reason}); fetch it on a machine with a connection and put it at {path}"
        ) from error
    return path
