"""What a model remembers of scenes, as a value: keep it, move it, write it to a file, query it later."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zipmap_pl.errors import UserError
from zipmap_pl.files import new_file
from zipmap_pl.models.mixers import fast_weights
from zipmap_pl.models.mixers.fast_weights import FastWeights, TTTState

FILE_FORMAT = {"format": "zipmap_pl scene state", "version": "1"}
SAME_NORMS = 1e-4  # relative difference that rounding may make


@dataclass(frozen=True)
class SceneState:
    """Of every test-time-training layer its `TTTState`, above all the fitted weights.

    The tensors are [scenes * heads, ...], scene-major; their size does not depend on the number of views.
    """

    layers: Sequence[TTTState]

    def to(self, device: torch.device | str) -> "SceneState":
        """The state on another device."""

        def moved(tensors: FastWeights | None) -> FastWeights | None:
            return None if tensors is None else FastWeights(*(tensor.to(device) for tensor in tensors))

        return SceneState([TTTState(*map(moved, layer)) for layer in self.layers])  # type: ignore[arg-type]

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
                    return SceneState(_layers(set(file.keys()), file.get_tensor))
        except (OSError, SafetensorError, KeyError) as error:
            raise UserError(f"{path}: not readable as a scene state ({error}); save the state again") from error
        raise UserError(f"{path}: found {found}, expected a file that SceneState.save wrote ({FILE_FORMAT})")

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for index, layer in enumerate(self.layers):
            for part, tensors in layer._asdict().items():
                if tensors is not None:
                    for matrix, tensor in tensors._asdict().items():
                        yield f"{index}.{part}.{matrix}", tensor

    def check(self, learned: Sequence[FastWeights], scenes: int, device: torch.device) -> None:
        """Raise UserError if this is not, on `device`, a state of `scenes` scenes and a model that learned these weights.

        learned: the learned weights of every layer, [heads, ...].
        """
        fault = next(self._faults(learned, scenes, device), None)
        if fault is not None:
            raise UserError(f"scene state: found {fault}")

    def _faults(self, learned: Sequence[FastWeights], scenes: int, device: torch.device) -> Iterator[str]:
        if len(self.layers) != len(learned):
            yield f"{len(self.layers)} layers, expected {len(learned)} as the model has; query the model that made it"
        for index, (layer, weights) in enumerate(zip(self.layers, learned, strict=True)):
            velocities = layer.velocity or layer.weights
            for fitted, norms, velocity, own in zip(layer.weights, layer.norms, velocities, weights, strict=True):
                shape = (scenes * len(own), *own.shape[1:])
                if {fitted.shape, velocity.shape} != {shape} or norms.shape != (shape[0], 1, shape[2]):
                    found = f"weights {tuple(fitted.shape)} with norms {tuple(norms.shape)}"
                    yield f"{found} in layer {index}, expected weights {shape} for {scenes} scenes of this model"
        first = self.layers[0].norms
        if first.w0.device != device:
            yield f"it on {first.w0.device}, expected {device}; move it with .to"
        for norms, own in zip(first, fast_weights.start(learned[0]).norms, strict=True):
            if (norms.unflatten(0, (scenes, -1)) - own).norm() > SAME_NORMS * norms.norm():
                yield "the norms of other weights, expected those of this model; query the model that made it"


def _layers(names: set[str], tensor_of: Callable[[str], Tensor]) -> list[TTTState]:
    """The layers that the tensors make, by the names that `save` gives them. Raises KeyError for other names."""
    left = set(names)

    def part(layer: int, name: str) -> FastWeights | None:
        keys = [f"{layer}.{name}.{matrix}" for matrix in FastWeights._fields]
        if name in TTTState._field_defaults and keys[0] not in left:
            return None
        left.difference_update(keys)
        return FastWeights(*map(tensor_of, keys))

    count = len({name.split(".")[0] for name in names})
    layers = [TTTState(*(part(index, name) for name in TTTState._fields)) for index in range(count)]  # type: ignore[arg-type]
    if left:
        raise KeyError(f"surplus {sorted(left)[0]}")
    return layers
