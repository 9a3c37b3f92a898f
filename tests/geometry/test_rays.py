"""Query rays: what a state-query model is told of a camera without a picture."""

import pytest
import torch

from zipmap_pl.geometry.pose_encoding import rotation_from_quaternion
from zipmap_pl.geometry.rays import query_rays, ray_map
from zipmap_pl.geometry.rigid import compose_rigid, join_rigid, split_rigid

HEIGHT, WIDTH = 4, 6
INTRINSICS = torch.tensor([[5.0, 0, 3], [0, 6, 2], [0, 0, 1]], dtype=torch.float64)


def random_poses(*shape, seed):
    x = torch.randn(*shape, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return join_rigid(rotation_from_quaternion(x[..., :4]), x[..., 4:])


def test_a_camera_at_the_origin_looks_along_z():
    origin, direction, moment = ray_map(torch.eye(4, dtype=torch.float64), INTRINSICS, HEIGHT, WIDTH).split(3)
    assert not origin.any() and not moment.any()
    down_right = torch.tensor([0.5 / 5, 0.5 / 6, 1], dtype=torch.float64)  # half a pixel off the principal point
    torch.testing.assert_close(direction[:, 2, 3], down_right / down_right.norm())


def test_the_unit_is_the_largest_coordinate_of_an_input_centre():
    inputs = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    inputs[1, :3, 3] = torch.tensor([1.0, -4.0, 2.0])  # its centre is (-1, 4, -2)
    inputs[2, :3, 3] = torch.tensor([3.0, 3.0, 3.0])
    target = torch.eye(4, dtype=torch.float64)
    target[:3, 3] = torch.tensor([0.0, 0.0, -8.0])
    rays = query_rays(target[None], INTRINSICS[None], HEIGHT, WIDTH, inputs)
    assert rays.shape == (1, 9, HEIGHT, WIDTH)
    torch.testing.assert_close(rays[0, :3, 0, 0], torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
def test_rays_do_not_depend_on_the_frame_and_unit_of_the_world(seed):
    inputs, targets = random_poses(2, 4, seed=seed), random_poses(2, 3, seed=seed + 10)
    world = random_poses(seed=seed + 20)

    def elsewhere(poses):
        rotation, translation = split_rigid(compose_rigid(poses, world))
        return join_rigid(rotation, 3.7 * translation)

    here = query_rays(targets, INTRINSICS.expand(2, 3, 3, 3), HEIGHT, WIDTH, inputs)
    there = query_rays(elsewhere(targets), INTRINSICS.expand(2, 3, 3, 3), HEIGHT, WIDTH, elsewhere(inputs))
    assert here.shape == (2, 3, 9, HEIGHT, WIDTH)
    torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-9)


def test_inputs_at_one_place_give_finite_rays():
    pose = torch.eye(4)[None]
    assert query_rays(pose, INTRINSICS[None].float(), HEIGHT, WIDTH, pose).isfinite().all()
