"""A batch: pictures, depth, mask and cameras of B scenes with S views each. Point maps are made on the device."""

from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor


@dataclass
class Batch:
    """B scenes, S views, all of one size H x W. Principal points lie at the picture's centre.

    Attributes:
        images: [B, S, 3, H, W] uint8 as it leaves the loader, float32 in [0, 1] once on the device.
        depth: [B, S, H, W] float32 planar z, 0 where invalid, in the shards' normalised unit.
        mask: [B, S, H, W] bool, depth is valid.
        extrinsics: [B, S, 3, 4] float32 world-to-camera.
        intrinsics: [B, S, 3, 3] float32, pixels of this size.
        normals: [B] bool, the dataset's depth is good enough for the normal loss.
        dataset: B slugs.
        scene: B scene names.
        frames: [B, S] int64, rows counted from the first frame of the scene.
        number: place among the rank's batches of the stage: step * accumulation + micro-batch; of a validation batch 0.
        repeat: [B] bool, validation only: a second look at a view set that keeps the ranks in step; leave it out of
            metrics. None = there is none.
        faults: one line per draw that met unreadable data and was replaced.
    """

    images: Tensor
    depth: Tensor
    mask: Tensor
    extrinsics: Tensor
    intrinsics: Tensor
    normals: Tensor
    dataset: list[str]
    scene: list[str]
    frames: Tensor
    number: int = 0
    repeat: Tensor | None = None
    faults: list[str] = field(default_factory=list)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory; torch's loader looks for this method."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        pinned = {name: value.pin_memory() for name, value in values.items() if isinstance(value, Tensor)}
        return Batch(**{**values, **pinned})
