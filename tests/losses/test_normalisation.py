"""Ground truth: the published numbers, the world at view 0, mean distance 1, and no NaN whatever the scene."""

import pytest
import torch
from shared_files import golden_arrays

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.geometry.rigid import camera_centres, invert_rigid, relative_to_first, transform_points
from zipmap_pl.losses.normalisation import mean_distance, normalise


def make_batch(depth, mask, world_to_cam, intrinsics) -> Batch:
    scenes, views, height, width = depth.shape
    return Batch(
        images=torch.zeros(scenes, views, 3, height, width),
        depth=depth,
        mask=mask,
        world_to_cam=world_to_cam,
        intrinsics=intrinsics,
        normals=torch.ones(scenes, dtype=torch.bool),
        dataset=["toy"] * scenes,
        scene=["scene"] * scenes,
        frames=torch.zeros(scenes, views, dtype=torch.int64),
    )


def random_batch(seed: int = 0, scenes: int = 2, views: int = 3, height: int = 14, width: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    depth = 1 + torch.rand(scenes, views, height, width, generator=generator)
    mask = torch.rand(scenes, views, height, width, generator=generator) < 0.9
    rotation = torch.linalg.qr(torch.randn(scenes, views, 3, 3, generator=generator)).Q
    rotation = rotation * torch.linalg.det(rotation)[..., None, None]
    world_to_cam = torch.cat([rotation, torch.randn(scenes, views, 3, 1, generator=generator)], dim=-1)
    intrinsics = torch.tensor([[15.0, 0, width / 2], [0, 16.0, height / 2], [0, 0, 1]]).repeat(scenes, views, 1, 1)
    return make_batch(depth * mask, mask, world_to_cam, intrinsics)


def test_published_frame_and_unit():
    """The file's depths, camera points and world points are unrelated; the unit comes from the world points."""
    file = {name: torch.from_numpy(value) for name, value in golden_arrays("geometry.npz").items()}
    relative = relative_to_first(file["extrinsics"])
    local_points = transform_points(file["extrinsics"], file["world_points"])
    unit = mean_distance(local_points, relative[..., 3], file["mask"].bool())[:, None, None]
    close = {"atol": 2e-6, "rtol": 2e-5}
    published = file["out/extrinsics"]
    torch.testing.assert_close(relative[..., :3], published[..., :3], **close)
    torch.testing.assert_close(relative[..., 3] / unit, published[..., 3], **close)
    torch.testing.assert_close(file["depths"] / unit[..., None], file["out/depths"], **close)
    torch.testing.assert_close(invert_rigid(published), file["out/extrinsics_c2w"], **close)


def test_mean_distance_to_the_first_camera_is_one():
    batch = random_batch()
    truth = normalise(batch)
    world = transform_points(invert_rigid(truth.world_to_cam), truth.local_points)
    for scene in range(2):
        assert world[scene][batch.mask[scene]].norm(dim=-1).mean().item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(truth.world_to_cam[:, 0], torch.eye(4)[:3].expand(2, 3, 4), atol=1e-6, rtol=0)
    scale = truth.scale[:, None, None]
    expected = camera_centres(relative_to_first(batch.world_to_cam)) / scale
    torch.testing.assert_close(camera_centres(truth.world_to_cam), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(truth.local_points, unproject(truth.depth, batch.intrinsics), atol=1e-6, rtol=1e-5)
    assert (truth.depth[~batch.mask] == 0).all()


def test_unit_and_world_of_the_batch_do_not_matter():
    batch, moved = random_batch(), random_batch()
    world = random_batch(seed=7, scenes=1, views=1).world_to_cam[0, 0]
    full = torch.cat([moved.world_to_cam, torch.tensor([0, 0, 0, 1.0]).expand(2, 3, 1, 4)], dim=-2)
    moved.world_to_cam = (full @ torch.cat([world, torch.tensor([[0, 0, 0, 1.0]])]))[..., :3, :]
    moved.world_to_cam[..., 3] *= 40
    moved.depth = moved.depth * 40
    ours, theirs = normalise(batch), normalise(moved)
    torch.testing.assert_close(ours.world_to_cam, theirs.world_to_cam, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.depth, theirs.depth, atol=1e-5, rtol=1e-4)


def test_scenes_without_depth_or_with_nan_stay_finite():
    batch = random_batch()
    batch.mask[0] = False
    batch.depth[0] = 0
    batch.depth[1, 0, 0, 0] = torch.nan
    batch.world_to_cam[1, 2] = torch.nan
    truth = normalise(batch)
    for tensor in (truth.world_to_cam, truth.depth, truth.local_points, truth.scale):
        assert tensor.isfinite().all()
    # The unit of the scene without depth is how far its cameras are from the first one.
    centres = camera_centres(truth.world_to_cam[0])
    assert centres.norm(dim=-1).mean().item() == pytest.approx(1, abs=1e-5)
    assert centres[0].norm() == pytest.approx(0, abs=1e-6)
