"""Gradients in float64, obvious twins of the fast code, and the rules for scenes without depth."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zipmap_pl.geometry.pose_encoding import encode_pose
from zipmap_pl.losses import camera
from zipmap_pl.losses.depth import depth_confidence_loss, depth_gradient_loss, depth_regression_loss
from zipmap_pl.losses.local_points import local_point_loss
from zipmap_pl.losses.normals import angle_between, normal_loss
from zipmap_pl.losses.quantile import quantile_mean

double = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maps(seed: int = 0, channels: tuple[int, ...] = (), views: int = 2) -> torch.Tensor:
    return 1 + torch.rand(2, views, 6, 5, *channels, generator=generator(seed), dtype=double)


def surface(seed: int = 0) -> torch.Tensor:
    """Points of a gently curved surface [2, 2, 6, 5, 3]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 6, dtype=double), torch.linspace(-1, 1, 5, dtype=double), indexing="ij")
    slope = torch.randn(2, 2, 2, 1, 1, generator=generator(seed), dtype=double) * 0.01
    z = 5 + slope[:, :, 0] * x + slope[:, :, 1] * y + 0.005 * (x * y + x.square())
    return torch.stack([x.expand_as(z), y.expand_as(z), z], dim=-1)


def some_mask(seed: int = 5) -> torch.Tensor:
    return torch.rand(2, 2, 6, 5, generator=generator(seed)) < 0.8


def poses(seed: int, iterations: int, views: int = 3) -> torch.Tensor:
    encoding = torch.rand(iterations, 2, views, 9, generator=generator(seed), dtype=double)
    encoding[..., 6] += 1
    return encoding


def gradcheck(function, *inputs: torch.Tensor) -> bool:
    return torch.autograd.gradcheck(function, tuple(value.clone().requires_grad_() for value in inputs))


@pytest.mark.parametrize("loss", [camera.reference_view_loss, camera.affine_invariant_loss])
def test_camera_gradient(loss):
    scenes = torch.tensor([True, False])

    def total(encodings):
        terms = loss(encodings, poses(1, 1)[0], scenes)
        return terms.translation + 2 * terms.rotation + 3 * terms.field_of_view

    assert gradcheck(total, poses(0, 3))


def test_point_gradient():
    assert gradcheck(lambda points: local_point_loss(points, maps(1, (3,)), some_mask()), maps(0, (3,)))


def test_depth_gradients():
    mask = some_mask()
    error = maps(0) - 1.5
    assert gradcheck(lambda e, c: depth_confidence_loss(e, c, mask, 0.2, 0.98), error, maps(1))
    assert gradcheck(lambda e: depth_regression_loss(e, mask, 0.98), error)
    assert gradcheck(lambda e: depth_gradient_loss(e, mask), error)


def test_normal_gradient():
    tilted = surface(1) + 0.02 * torch.randn(2, 2, 6, 5, 3, generator=generator(3), dtype=double)
    mask = torch.ones(2, 2, 6, 5, dtype=torch.bool)
    mask[0, 0, 2, 2] = False
    truth = surface()
    assert normal_loss(tilted, truth, mask) > 0
    assert gradcheck(lambda points: normal_loss(points, truth, mask), tilted)


def test_angle_equals_autograd_of_the_plain_formula():
    a, b = torch.randn(2, 3, 200, generator=generator(), dtype=double).unbind(0)

    def plain(a, b):
        return torch.acos((a * b).sum(0) / a.norm(dim=0) / b.norm(dim=0))

    fast, slow = a.clone().requires_grad_(), a.clone().requires_grad_()
    torch.testing.assert_close(angle_between(fast, b), plain(slow, b))
    weights = torch.rand(200, dtype=double, generator=generator(1))
    (angle_between(fast, b) * weights).sum().backward()
    (plain(slow, b) * weights).sum().backward()
    torch.testing.assert_close(fast.grad, slow.grad)


def test_angle_of_degenerate_vectors_has_no_gradient():
    vector = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    angle = angle_between(vector, torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    angle.clamp(0.1, 1.5).sum().backward()
    assert vector.grad.eq(0).all()


def test_normals_equal_a_loop_over_triangles():
    prediction = surface(1) + 0.05 * torch.randn(2, 2, 6, 5, 3, generator=generator(3), dtype=double)
    truth, mask = surface(), some_mask(9)
    mask[:, :, :3] = True
    height, width = 6, 5
    expected = torch.zeros((), dtype=double)
    for scene, view in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        p, t, depth = prediction[scene, view], truth[scene, view], truth[scene, view, ..., 2]
        inside = mask[scene, view].clone()
        for i in range(height):
            for j in range(width):
                patch = depth[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                inside[i, j] &= bool((patch.max() - patch.min()) / depth[i, j] <= 0.03)
        for i in range(height - 1):
            for j in range(width - 1):
                a, b, c, d = (i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1)
                for corner, first, second in [(d, b, c), (b, a, d), (a, c, b), (c, d, a)]:
                    if inside[corner] and inside[first] and inside[second]:
                        n = torch.linalg.cross(p[first] - p[corner], p[second] - p[corner])
                        m = torch.linalg.cross(t[first] - t[corner], t[second] - t[corner])
                        angle = torch.atan2(torch.linalg.cross(n, m).norm(), n @ m)
                        angle = angle.clamp(math.radians(1), math.radians(90))
                        beta = math.radians(3)
                        expected += angle**2 / (2 * beta) if angle < beta else angle - beta / 2
    expected /= 2 * 2 * 5 * 4 * 4 * 6
    assert expected > 0
    torch.testing.assert_close(normal_loss(prediction, truth, mask), expected)


def test_normals_ignore_small_errors_and_depth_edges():
    truth = surface()
    everywhere = torch.ones(2, 2, 6, 5, dtype=torch.bool)
    floor = normal_loss(truth, truth, everywhere)  # every angle is lifted to 1 degree
    assert floor.item() == pytest.approx(math.radians(1) ** 2 / (2 * math.radians(3)) / 6, rel=1e-6)
    step = truth.clone()
    step[..., 3:, 2] += (
        1  # columns 2 and 3 are edges now, only triangles of columns 0 and 1 and none of column 4 remain
    )
    assert normal_loss(step, step, everywhere).item() == pytest.approx(floor.item() / 4, rel=1e-6)


def test_affine_invariant_camera_loss_does_not_see_the_world_frame():
    truth = poses(1, 1)[0]
    predicted = poses(2, 4)
    moved = _in_another_world(truth)
    scenes = torch.tensor([True, True])
    ours, theirs = (camera.affine_invariant_loss(predicted, target, scenes) for target in (truth, moved))
    torch.testing.assert_close(ours.translation, theirs.translation)
    torch.testing.assert_close(ours.rotation, theirs.rotation)
    assert camera.affine_invariant_loss(moved[None], truth, scenes).translation.item() == pytest.approx(0, abs=1e-12)


def _in_another_world(encoding: torch.Tensor) -> torch.Tensor:
    from zipmap_pl.geometry.pose_encoding import decode_pose
    from zipmap_pl.geometry.rigid import compose_rigid

    world_to_cam, intrinsics = decode_pose(encoding, 40, 50)
    world = decode_pose(poses(11, 1)[0, :, :1], 40, 50)[0]
    return encode_pose(compose_rigid(world_to_cam, world), intrinsics, 40, 50)


def test_reference_view_camera_loss_by_hand():
    truth = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1], dtype=double).expand(2, 3, 9)
    predicted = truth.expand(2, 2, 3, 9).clone()
    predicted[0, ..., 0] += 3  # first of two iterations
    predicted[1, ..., 8] += 1
    predicted[1, 1] = torch.nan  # a scene that does not count
    terms = camera.reference_view_loss(predicted, truth, torch.tensor([True, False]))
    assert terms.translation.item() == pytest.approx(0.6 * (3 / 3) / 2)
    assert terms.rotation.item() == 0
    assert terms.field_of_view.item() == pytest.approx(1 * (1 / 2) / 2)


def test_one_view_has_no_pairs():
    terms = camera.affine_invariant_loss(poses(0, 4, views=1), poses(1, 1, views=1)[0], torch.tensor([True, True]))
    assert (terms.translation.item(), terms.rotation.item()) == (0, 0)
    assert terms.field_of_view > 0


def test_depth_gradient_by_hand():
    error = torch.zeros(1, 1, 2, 3)
    error[..., 0, :] = torch.tensor([0.0, 1.0, 5.0])
    mask = torch.ones(1, 1, 2, 3, dtype=torch.bool)
    mask[..., 0, 2] = False  # the 5 is invalid, and so are its differences
    full = (1 + 1) / 5  # 0 to 1 in the row, 1 to 0 in the column; five valid pixels
    # every 2nd pixel: (0, 0) and the invalid (0, 2); every 4th and 8th: (0, 0) alone
    assert depth_gradient_loss(error, mask).item() == pytest.approx(full / 4)


@settings(max_examples=30)
@given(st.integers(0, 3000), st.floats(0, 1), st.integers(0, 2**31 - 1))
def test_quantile_mean_equals_sorting(count, quantile, seed):
    values = torch.rand(count, generator=generator(seed), dtype=double) * 120
    padded = torch.cat([values, torch.full((7,), 1e9, dtype=double)])
    mask = torch.arange(count + 7) < count
    if count <= 1000:
        expected = values.mean() if count else torch.zeros((), dtype=double)
    else:
        clamped = values.clamp(max=100)
        threshold = clamped.sort().values[round(quantile * (count - 1))]
        kept = clamped[clamped < threshold]
        expected = (kept if len(kept) > 1000 else clamped).mean()
    torch.testing.assert_close(quantile_mean(padded, mask, quantile), expected)
