"""What a model remembers of scenes, as a value: keep it, move it, write it to a file, query it later."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zipmap_pl.errors import UserError
from zipmap_pl.files import new_file

FILE_FORMAT = {"format": "zipmap_pl scene state", "version": "1"}
CAMERA_TOKENS = "camera_tokens"

LayerState = dict[str, Tensor]


@dataclass(frozen=True)
class SceneState:
    """The state of every scene mixer, mainly the fitted weights.

    Attributes:
        layers: one dictionary per layer, with the names that the mixer gives its tensors. Tensors are [scenes * n, ...],
            scene-major; their size does not depend on the number of views.
        camera_tokens: [B, S, 2C], the camera token of every view as the camera head reads it, where the mixer keeps them
            (views that come later are placed by looking at them); else None.
    """

    layers: Sequence[LayerState]
    camera_tokens: Tensor | None = None

    def to(self, device: torch.device | str) -> "SceneState":
        """The state on another device."""
        layers = [{name: tensor.to(device) for name, tensor in layer.items()} for layer in self.layers]
        return SceneState(layers, None if self.camera_tokens is None else self.camera_tokens.to(device))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; an older one of that name stays until the new one is whole."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Clones, because safetensors refuses tensors that share memory.
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in self._named()}
        with new_file(path) as temporary:
            save_file(tensors, temporary, FILE_FORMAT)

    @staticmethod
    def load(path: str | Path) -> "SceneState":
        """Read what `save` wrote, to the CPU. Raises UserError if that cannot be read or is something else."""
        try:
            with safe_open(path, "pt") as file:
                found = file.metadata()
                if found == FILE_FORMAT:
                    return _state(set(file.keys()), file.get_tensor)
        except (OSError, SafetensorError, KeyError) as error:
            raise UserError(f"{path}: not readable as a scene state ({error}); save the state again") from error
        raise UserError(f"{path}: found {found}, expected a file that SceneState.save wrote ({FILE_FORMAT})")

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for index, layer in enumerate(self.layers):
            for name, tensor in layer.items():
                yield f"{index}.{name}", tensor
        if self.camera_tokens is not None:
            yield CAMERA_TOKENS, self.camera_tokens


def _state(names: set[str], tensor_of: Callable[[str], Tensor]) -> SceneState:
    """The state that the tensors make, by the names that `save` gives them.

    Raises KeyError for other names: every layer has those that most of them have.
    """
    camera_tokens = tensor_of(CAMERA_TOKENS) if CAMERA_TOKENS in names else None
    numbered = names - {CAMERA_TOKENS}
    layers = range(len({name.split(".")[0] for name in numbered}))
    often = Counter(name.partition(".")[2] for name in numbered)
    usual = sorted(name for name, count in often.items() if 2 * count > len(layers))
    expected = {f"{index}.{name}" for index in layers for name in usual}
    for surplus in sorted(numbered - expected):
        raise KeyError(f"surplus {surplus}")
    return SceneState([{name: tensor_of(f"{index}.{name}") for name in usual} for index in layers], camera_tokens)
