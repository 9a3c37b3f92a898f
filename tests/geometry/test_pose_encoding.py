"""Nine numbers carry a camera; published pose encodings, quaternions and ray maps are reproduced."""

import math

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_files import golden_arrays

from zipmap_pl.geometry.pose_encoding import (
    decode_pose,
    decode_world_to_cam,
    encode_pose,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from zipmap_pl.geometry.rays import ray_map
from zipmap_pl.geometry.rigid import join_rigid


@pytest.fixture(scope="module")
def file() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in golden_arrays("geometry.npz").items()}


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 1e-4),
    st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    st.floats(0.05, 3.0),
    st.floats(0.05, 3.0),
    st.integers(1, 600),
    st.integers(1, 600),
)
def test_decode_undoes_encode(quaternion, translation, fov_height, fov_width, height, width):
    rotation = roma.unitquat_to_rotmat(roma.quat_normalize(torch.tensor(quaternion, dtype=torch.float64)))
    world_to_cam = join_rigid(rotation, torch.tensor(translation, dtype=torch.float64))
    intrinsics = torch.tensor(
        [
            [width / 2 / math.tan(fov_width / 2), 0, width / 2],
            [0, height / 2 / math.tan(fov_height / 2), height / 2],
            [0, 0, 1],
        ],
        dtype=torch.float64,
    )
    encoding = encode_pose(world_to_cam, intrinsics, height, width)
    assert encoding[6] >= 0
    assert encoding[7:].tolist() == pytest.approx([fov_height, fov_width], rel=1e-9)
    decoded_world_to_cam, decoded_intrinsics = decode_pose(encoding, height, width)
    torch.testing.assert_close(decoded_world_to_cam, world_to_cam, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(decoded_intrinsics, intrinsics, atol=1e-7, rtol=1e-9)


def test_length_and_sign_of_a_quaternion_do_not_matter():
    quaternion = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotation = rotation_from_quaternion(quaternion)
    torch.testing.assert_close(rotation_from_quaternion(-0.01 * quaternion), rotation)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))
    unit = quaternion_from_rotation(rotation)
    assert (unit[:, 3] >= 0).all()
    expected = roma.quat_normalize(quaternion)
    torch.testing.assert_close(unit, expected * expected[:, 3:].sign())


def test_gradient_of_decoding():
    encoding = torch.randn(3, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(decode_world_to_cam, (encoding,))


def test_published_pose_encoding(file):
    encoding = encode_pose(file["extrinsics"], file["intrinsics"], 14, 20)
    torch.testing.assert_close(encoding, file["pose_encoding"], atol=2e-6, rtol=2e-5)


def test_published_rotation_of_a_quaternion(file):
    torch.testing.assert_close(rotation_from_quaternion(file["quat_xyzw"]), file["rotation"], atol=2e-6, rtol=2e-5)


def test_published_ray_map(file):
    rays = ray_map(file["out/extrinsics"], file["intrinsics"], 14, 20)
    torch.testing.assert_close(rays, file["ray_map_9"], atol=2e-6, rtol=2e-5)
