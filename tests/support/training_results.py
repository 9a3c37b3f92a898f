"""What a run leaves, compared with what another one leaves: all that a run that goes on needs, and its curves."""

from dataclasses import asdict
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from zipmap_pl.checkpoints.folder import (
    Manifest,
    find_checkpoint,
    read_averages,
    read_manifest,
    read_optimizer,
    read_weights,
)


def tensors_of(checkpoint: Path) -> dict[str, Tensor]:
    """Weights, averages and the optimiser's state of a checkpoint, by name."""
    state = read_optimizer(checkpoint)
    moments = {f"{name}/{kind}": tensor for name, kinds in state.items() for kind, tensor in kinds.items()}
    averages = {f"average of {name}": tensor for name, tensor in (read_averages(checkpoint) or {}).items()}
    return read_weights(checkpoint) | moments | averages


def facts_of(checkpoint: Path) -> dict[str, object]:
    """What the manifest says, besides checksums: those of optimizer.pt depend on the order in which it was written."""
    manifest: Manifest = read_manifest(checkpoint)
    return {name: value for name, value in asdict(manifest).items() if name != "files"}


def differing(one: Path, other: Path) -> list[str]:
    """Names of the tensors and facts in which the newest checkpoints of two runs are not the same to the last bit."""
    a, b = find_checkpoint(one), find_checkpoint(other)
    found, wanted = tensors_of(a), tensors_of(b)
    keys = found.keys() | wanted.keys()
    tensors = [key for key in keys if key not in found or key not in wanted or not torch.equal(found[key], wanted[key])]
    return tensors + [key for key, value in facts_of(a).items() if facts_of(b)[key] != value]


def scalars(run: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) of a curve in TensorBoard."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]
