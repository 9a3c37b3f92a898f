"""Perceptual distance of pictures: LPIPS over VGG16, with weights that are on this machine already."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zipmap_pl.errors import UserError
from zipmap_pl.losses.eager_gradient import loss_of_items

VGG_FILE = "vgg16-397923af.pth"  # of torchvision; the second part of its name begins its sha256
VGG_URL = f"https://download.pytorch.org/models/{VGG_FILE}"
PICTURES_AT_ONCE = 4
TINY = 1e-10  # of `lpips`
LOAD_ERRORS = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError)  # of torch.load


class PerceptualDistance(nn.Module):
    """LPIPS of pairs of pictures, frozen, always in eval mode. Gradients flow to the pictures.

    A few pictures at a time, and their gradient together with the distance: the features of a batch of large pictures
    would take more memory than the model, and making them again in the backward pass much time.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "PerceptualDistance":
        """Stays in eval mode: the published layers have a dropout that is meant for their own training."""
        return super().train(False)

    def forward(self, pictures: Tensor, others: Tensor) -> Tensor:
        """Distances [N] >= 0 between pictures [N, 3, H, W] in [0, 1], H and W from 16 pixels on."""
        return loss_of_items(self._distances, pictures, others, at_once=PICTURES_AT_ONCE)

    def _distances(self, pictures: Tensor, others: Tensor) -> Tensor:
        """What `network` says, but with a finite gradient where all features of a pixel are 0."""
        sides = [self.network.net(self.network.scaling_layer(2 * side - 1)) for side in (pictures, others)]
        levels = zip(self.network.lins, *sides, strict=True)
        return sum(layer((_unit(one) - _unit(other)).square()).mean((1, 2, 3)) for layer, one, other in levels)


def _unit(features: Tensor) -> Tensor:
    """Features [N, C, h, w] of length 1, or 0 where they are 0."""
    return features / (features.norm(dim=1, keepdim=True) + TINY)


def default_vgg_path() -> Path:
    """Where torchvision keeps the weights of VGG16."""
    return Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE


def load_perceptual_distance(vgg: str | Path | None = None) -> PerceptualDistance:
    """LPIPS with published weights: VGG16 from a file (None = torchvision's cache), the layers on it from `lpips`.

    Raises:
        UserError: the file is not there, or holds something else. Nothing is downloaded.
    """
    path = default_vgg_path() if vgg is None else Path(vgg)
    if not path.is_file():
        raise UserError(
            f"{path}: found no weights of VGG16 for LPIPS; fetch them once with `zipmap fetch lpips`, name a file with "
            "stage.loss.vgg_weights=FILE, or train without LPIPS (stage.loss.query_perceptual=0)"
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except LOAD_ERRORS as error:
        raise UserError(f"{path}: damaged, expected torchvision's {VGG_FILE}; fetch it again") from error
    return PerceptualDistance(lpips_network(weights, path))


def lpips_network(vgg: dict[str, Tensor], path: Path) -> nn.Module:
    """The `lpips` network on the weights of torchvision's VGG16, by its keys; `path` is for the error.

    It is built without numbers and filled afterwards: 138 million random ones would take seconds, and the global
    generator's next numbers.
    """
    import lpips

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision dislikes how lpips asks for VGG16
        network = lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False, verbose=False)
    network.scaling_layer = lpips.ScalingLayer()
    layers = Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth"
    filled = network.scaling_layer.state_dict(prefix="scaling_layer.") | torch.load(
        layers, map_location="cpu", weights_only=True
    )
    for key, expected in network.net.state_dict().items():
        published = "features." + key.partition(".")[2]  # slice2.5.weight is features.5.weight
        found = vgg.get(published) if isinstance(vgg, dict) else None
        if not isinstance(found, Tensor) or found.shape != expected.shape:
            raise UserError(
                f"{path}: found no {published} of shape {list(expected.shape)}, expected torchvision's VGG16"
            )
        filled[f"net.{key}"] = found.float()
    filled |= {f"lins.{key.removeprefix('lin')}": value for key, value in filled.items() if key.startswith("lin")}
    network.load_state_dict(filled, assign=True)
    return network
