"""Ground truth in the frame and unit of the model: the camera of view 0, mean distance of the points 1."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.geometry.rigid import camera_centres, join_rigid, relative_to_first, split_rigid
from zipmap_pl.losses.safety import finite

SCALE_RANGE = (1e-6, 1e6)


@dataclass
class GroundTruth:
    """B scenes with S views of H x W pixels, normalised per scene.

    Attributes:
        world_to_cam: [B, S, 3, 4] world-to-camera; the world is the camera of view 0, the unit is `scale`.
        intrinsics: [B, S, 3, 3] pixels, as they were.
        depth: [B, S, H, W] planar z in the unit of the scene, 0 where invalid.
        mask: [B, S, H, W] bool, depth is valid.
        local_points: [B, S, H, W, 3] each pixel's point in its own camera's frame, 0 where invalid.
        normals: [B] bool, the scene takes part in the normal loss.
        scale: [B] the unit of the scene, in the unit of the batch.
    """

    world_to_cam: Tensor
    intrinsics: Tensor
    depth: Tensor
    mask: Tensor
    local_points: Tensor
    normals: Tensor
    scale: Tensor


@dataclass
class QueryTruth:
    """The T views of H x W pixels that a state is asked for, in the unit of the `GroundTruth` beside it.

    Attributes:
        images: [B, T, 3, H, W] in [0, 1].
        depth: [B, T, H, W] planar z, 0 where invalid.
        mask: [B, T, H, W] bool, depth is valid.
    """

    images: Tensor
    depth: Tensor
    mask: Tensor


def ground_truth(batch: Batch) -> tuple[GroundTruth, QueryTruth | None]:
    """The truth of the input views, normalised by all views (see `normalise`); and of the target views, if there are any."""
    whole = normalise(batch)
    if batch.targets is None:
        return whole, None
    targets = batch.target_views()
    unit = whole.scale[:, None, None, None]
    mask = targets.mask & (unit > SCALE_RANGE[0])  # a scene whose input cameras stand still, without depth, has no unit
    queried = QueryTruth(targets.images, finite(targets.depth).masked_fill(~mask, 0.0) / unit, mask)
    inputs = slice(0, batch.input_count)
    per_view = ("world_to_cam", "intrinsics", "depth", "mask", "local_points")
    return replace(whole, **{name: getattr(whole, name)[:, inputs] for name in per_view}), queried


@torch.no_grad()
def normalise(batch: Batch) -> GroundTruth:
    """Moves the world to the camera of view 0 and divides by the mean distance of all valid points to it.

    The mean divides by the number of valid pixels + 1e-3 and is clamped to [1e-6, 1e6]. The unit of a scene whose input
    views have no valid pixels, even if target views have some, is the mean distance of its input cameras to view 0,
    clamped alike: `scale.align_prediction` finds that of the prediction in the same way. (The published unit is 1e-6: such
    scenes are dropped by the losses unless asked for.) NaN and infinity become 0.
    """
    world_to_cam = relative_to_first(batch.world_to_cam.double()).to(batch.world_to_cam.dtype)
    rotation, translation = split_rigid(world_to_cam)
    depth = finite(batch.depth).masked_fill(~batch.mask, 0.0)
    local_points = finite(unproject(depth, batch.intrinsics))
    inputs = slice(0, batch.input_count)
    scale = torch.where(
        batch.mask[:, inputs].flatten(1).any(1),
        mean_distance(local_points, translation, batch.mask),
        mean_camera_distance(world_to_cam[:, inputs]).clamp(*SCALE_RANGE),
    )
    per_view, per_pixel = scale[:, None, None], scale[:, None, None, None]
    return GroundTruth(
        world_to_cam=finite(join_rigid(rotation, translation / per_view)),
        intrinsics=batch.intrinsics,
        depth=depth / per_pixel,
        mask=batch.mask,
        local_points=local_points / per_pixel[..., None],
        normals=batch.normals,
        scale=scale,
    )


def mean_distance(local_points: Tensor, translation: Tensor, mask: Tensor) -> Tensor:
    """Mean distance [B] of valid points to the world's origin.

    local_points [B, S, H, W, 3] are in camera frames, translation [B, S, 3] is world-to-camera: the rotation
    does not matter, |R^T (x - t)| = |x - t|.
    """
    distance = (local_points - translation[:, :, None, None]).norm(dim=-1).masked_fill(~mask, 0.0)
    return (finite(distance).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) + 1e-3)).clamp(*SCALE_RANGE)


def mean_camera_distance(world_to_cam: Tensor) -> Tensor:
    """Mean distance [B] of the camera centres of world-to-camera [B, S, 3, 4] to that of view 0, itself included."""
    return finite(camera_centres(relative_to_first(world_to_cam))).norm(dim=-1).mean(1)
