"""Transforms invert, compose and project back; depth maps become the points they were rendered from."""

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zipmap_pl.geometry.alignment import masked_median, median_scale
from zipmap_pl.geometry.projection import pixel_grid, project, unproject, unproject_to_world
from zipmap_pl.geometry.rigid import (
    camera_centres,
    compose_rigid,
    invert_rigid,
    join_rigid,
    pairwise_relative,
    relative_to_first,
    transform_points,
)

seeds = st.integers(0, 2**31 - 1)


def random_rigid(seed: int, *shape: int, rows: int = 4, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rotation = roma.unitquat_to_rotmat(roma.quat_normalize(torch.randn(*shape, 4, generator=generator, dtype=dtype)))
    return join_rigid(rotation, torch.randn(*shape, 3, generator=generator, dtype=dtype) * 3, rows)


def random_intrinsics(seed: int, *shape: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    focal = 20 + 100 * torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
    intrinsics = torch.eye(3, dtype=torch.float64).repeat(*shape, 1, 1)
    intrinsics[..., 0, 0], intrinsics[..., 1, 1] = focal.unbind(-1)
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = width / 2 + 1.7, height / 2 - 0.3
    return intrinsics


@settings(max_examples=30)
@given(seeds, st.sampled_from([3, 4]))
def test_inverse_undoes_and_keeps_the_shape(seed, rows):
    transform = random_rigid(seed, 2, 3, rows=rows)
    inverse = invert_rigid(transform)
    assert inverse.shape == transform.shape
    identity = torch.eye(4, dtype=torch.float64)[:rows].expand_as(transform)
    torch.testing.assert_close(compose_rigid(transform, inverse), identity, atol=1e-12, rtol=0)
    torch.testing.assert_close(compose_rigid(inverse, transform), identity, atol=1e-12, rtol=0)


@settings(max_examples=30)
@given(seeds)
def test_products_equal_matrix_products(seed):
    a, b = random_rigid(seed, 4), random_rigid(seed + 1, 4)
    torch.testing.assert_close(compose_rigid(a, b), a @ b, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(invert_rigid(a), torch.linalg.inv(a), atol=1e-11, rtol=1e-11)
    pairs = pairwise_relative(a)
    torch.testing.assert_close(pairs[1, 3], a[1] @ torch.linalg.inv(a[3]), atol=1e-11, rtol=1e-11)
    first = relative_to_first(a)
    torch.testing.assert_close(first[2], a[2] @ torch.linalg.inv(a[0]), atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(camera_centres(a), torch.linalg.inv(a)[:, :3, 3], atol=1e-11, rtol=1e-11)


def test_products_keep_float32_under_autocast():
    a, b = random_rigid(0, 4, dtype=torch.float32), random_rigid(1, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        product = compose_rigid(a, b)
    torch.testing.assert_close(product, compose_rigid(a.double(), b.double()).float(), atol=1e-5, rtol=1e-5)


def test_pixel_centres_lie_at_half_pixels():
    grid = pixel_grid(2, 3, torch.zeros(1))
    assert grid.tolist() == [[[0.5, 0.5], [1.5, 0.5], [2.5, 0.5]], [[0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]]


@settings(max_examples=30)
@given(seeds, st.integers(1, 7), st.integers(1, 7))
def test_projection_undoes_unprojection_through_the_world(seed, height, width):
    world_to_cam, intrinsics = random_rigid(seed, 2), random_intrinsics(seed, 2, height=height, width=width)
    depth = 0.1 + 10 * torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    local = transform_points(world_to_cam, unproject_to_world(depth, intrinsics, world_to_cam))
    torch.testing.assert_close(local, unproject(depth, intrinsics), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(local[..., 2], depth, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(project(local, intrinsics), pixel_grid(height, width, depth).expand(2, -1, -1, -1))


def test_unprojection_does_not_change_when_the_picture_is_resized():
    """A pixel of half the size lies at twice the place: pure scaling of the intrinsics, no half-pixel shift."""
    intrinsics = random_intrinsics(0, 1, height=4, width=6)[0]
    fine = unproject(
        torch.ones(8, 12, dtype=torch.float64), torch.diag(torch.tensor([2.0, 2, 1]).double()) @ intrinsics
    )
    coarse = unproject(torch.ones(4, 6, dtype=torch.float64), intrinsics)
    torch.testing.assert_close(fine.unflatten(0, (4, 2)).unflatten(2, (6, 2)).mean((1, 3)), coarse)


def test_gradients_of_the_whole_chain():
    world_to_cam, intrinsics = random_rigid(3, 2), random_intrinsics(3, 2, height=3, width=2)
    depth = (1 + torch.rand(2, 3, 2, dtype=torch.float64)).requires_grad_()
    inputs = (depth, intrinsics.requires_grad_(), world_to_cam.requires_grad_())
    assert torch.autograd.gradcheck(unproject_to_world, inputs)


def test_median_scale_ignores_invalid_pixels_and_survives_none():
    prediction = torch.tensor([[1.0, 2.0, 3.0, 100.0], [1.0, 1.0, 1.0, 1.0]])
    truth = torch.tensor([[2.0, 4.0, 6.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    mask = torch.tensor([[True, True, True, False], [False] * 4])
    assert median_scale(prediction, truth, mask).tolist() == [2.0, 1.0]
    assert masked_median(torch.tensor([[4.0, 1.0, 3.0, 2.0]]), torch.ones(1, 4, dtype=torch.bool)).tolist() == [2.0]


@pytest.mark.parametrize("views", [1, 5])
def test_first_view_becomes_the_world(views):
    relative = relative_to_first(random_rigid(5, 2, views))
    torch.testing.assert_close(relative[:, 0], torch.eye(4, dtype=torch.float64).expand(2, 4, 4), atol=1e-12, rtol=0)
