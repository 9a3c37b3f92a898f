"""A batch: pictures, depth, mask and cameras of B scenes with S views each. Point maps are made on the device."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from zipmap_pl.geometry.rays import query_rays

VIEW_FIELDS = ("images", "depth", "mask", "world_to_cam", "intrinsics", "frames")  # the second axis counts views


@dataclass
class Batch:
    """B scenes, S views, all of one size H x W. Principal points lie at the picture's centre.

    Attributes:
        images: [B, S, 3, H, W] uint8 as it leaves the loader, float32 in [0, 1] once on the device.
        depth: [B, S, H, W] float32 planar z, 0 where invalid, in the shards' normalised unit.
        mask: [B, S, H, W] bool, depth is valid.
        world_to_cam: [B, S, 3, 4] float32 world-to-camera.
        intrinsics: [B, S, 3, 3] float32, pixels of this size.
        normals: [B] bool, the dataset's depth is good enough for the normal loss.
        dataset: B slugs.
        scene: B scene names.
        frames: [B, S] int64, rows counted from the first frame of the scene.
        input_count: state-query batches: the first so many views are inputs, the others are not shown. None = other
            batches, all views are inputs.
        targets: [B, T] int64, state-query batches: which of the S views the state is asked for; one may be an input.
            None = other batches.
        number: place among the rank's batches of the stage: step * accumulation + micro-batch; of a validation batch 0.
        repeat: [B] bool, validation only: a second look at a view set that keeps the ranks in step; leave it out of
            metrics. None = there is none.
        faults: one line per draw that met unreadable data and was replaced.
    """

    images: Tensor
    depth: Tensor
    mask: Tensor
    world_to_cam: Tensor
    intrinsics: Tensor
    normals: Tensor
    dataset: list[str]
    scene: list[str]
    frames: Tensor
    input_count: int | None = None
    targets: Tensor | None = None
    number: int = 0
    repeat: Tensor | None = None
    faults: list[str] = field(default_factory=list)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory; torch's loader looks for this method."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        pinned = {name: value.pin_memory() for name, value in values.items() if isinstance(value, Tensor)}
        return Batch(**{**values, **pinned})

    def inputs(self) -> "Batch":
        """The input views of a state-query batch as a batch of their own; of any other batch the batch itself."""
        count = self.input_count
        return self if count is None else self._with_views(lambda values: values[:, :count])

    def target_views(self) -> "Batch":
        """The target views [B, T, ...] of a state-query batch as a batch of their own."""
        targets = self._targets()
        scenes = torch.arange(len(targets), device=targets.device)[:, None]
        return self._with_views(lambda values: values[scenes, targets])

    def target_rays(self) -> Tensor:
        """Rays [B, T, 9, H, W] of the target views, see `geometry.rays.query_rays`: made where the batch is.

        They are in the frame of the first input view and in the unit of the input cameras, so they do not depend on
        the frame and unit of the batch.
        """
        targets = self.target_views()
        height, width = self.images.shape[-2:]
        return query_rays(targets.world_to_cam, targets.intrinsics, height, width, self.inputs().world_to_cam)

    def _targets(self) -> Tensor:
        if self.targets is None:
            raise ValueError("only batches of data.batches=state_query have targets")
        return self.targets

    def _with_views(self, select: Callable[[Tensor], Tensor]) -> "Batch":
        chosen: dict[str, Any] = {name: select(getattr(self, name)) for name in VIEW_FIELDS}
        return replace(self, **chosen, input_count=None, targets=None)
