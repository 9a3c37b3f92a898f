"""Normal loss: the angle between predicted and true normals of the small triangles of neighbouring pixels."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from zipmap_pl.losses.safety import finite

EDGE_THRESHOLD = 0.03
SMALLEST_ANGLE = math.radians(1)
LARGEST_ANGLE = math.radians(90)
LINEAR_FROM = math.radians(3)
SMALLEST_SINE = 1e-6
TINY = 1e-24  # the length of a normal is at least 1e-12


def normal_loss(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Smooth L1 of the angle, summed over each 2 x 2 quad's four triangles; mean over all quads, / (4 max(H, W)).

    prediction (aligned), truth: points [B, S, H, W, 3] of the scenes with trustworthy depth; mask: [B, S, H, W].
    Triangles that touch an invalid pixel or a depth edge count as 0. Angles are clamped to [1, 90] degrees, outside
    there is no gradient.
    """
    height, width = mask.shape[-2:]
    mask = mask & ~depth_edges(truth[..., 2])
    normals = triangle_normals(_flat_components(prediction, mask), width)
    true_normals = triangle_normals(_flat_components(truth, mask), width)
    total = prediction.new_zeros(())
    for normal, true_normal, inside in zip(normals, true_normals, triangles_inside(mask), strict=True):
        angle = angle_between(normal, true_normal).clamp(SMALLEST_ANGLE, LARGEST_ANGLE)
        total = total + _smooth_l1(angle).masked_fill(~inside, 0.0).sum()
    quads = mask[..., 1:, 1:].numel()
    return finite(total / (max(quads, 1) * 4 * max(height, width)))


def depth_edges(depth: Tensor) -> Tensor:
    """[B, S, H, W] bool: depth in the 3 x 3 neighbourhood spans over 3 % of the pixel's own. 0 / 0 is no edge."""
    farthest = F.max_pool2d(depth, kernel_size=3, stride=1, padding=1)
    nearest = -F.max_pool2d(-depth, kernel_size=3, stride=1, padding=1)
    return (farthest - nearest) / depth > EDGE_THRESHOLD


def _flat_components(points: Tensor, mask: Tensor) -> Tensor:
    """[3, P]: the coordinates of all P pixels of points [B, S, H, W, 3] in reading order, 0 outside mask.

    In this layout the neighbours to the right and below of a run of pixels are runs too, which is what makes this
    loss fast.
    """
    return points.masked_fill(~mask[..., None], 0.0).flatten(0, -2).T.contiguous()


def triangle_normals(points: Tensor, width: int) -> Iterator[Tensor]:
    """Normals (not unit) [3, P - W - 1] of the four corner triangles of the quad that begins at each pixel, in turn.

    points: [3, P]. Every triangle is spanned by one vertical and one horizontal side of the quad: left top, left
    bottom, right top, right bottom. Quads that begin in the last row or column of a picture are meaningless (see
    `triangles_inside`).
    """
    quads = points.shape[-1] - width - 1
    across = points[:, 1:] - points[:, :-1]
    down = points[:, width:] - points[:, :-width]
    for left_or_right in (0, 1):
        for top_or_bottom in (0, width):
            yield _cross(down[:, left_or_right:][:, :quads], across[:, top_or_bottom:][:, :quads])


def angle_between(vector: Tensor, reference: Tensor) -> Tensor:
    """Angle in radians [...] between vectors [3, ...] of any length, accurate for small angles too.

    Differentiable in `vector` only, once; no gradient where the angle is 0 or 180 degrees.
    """
    return _Angle.apply(vector, reference)


class _Angle(torch.autograd.Function):
    """Angle with the gradient d angle / d a = (cos a^ - b^) / (|a| sin), which saves few maps and no graph."""

    @staticmethod
    def forward(ctx: Any, vector: Tensor, reference: Tensor) -> Tensor:
        inverse_length = _dot(vector, vector).add_(TINY).rsqrt_()
        direction = vector * inverse_length
        reference = reference * _dot(reference, reference).add_(TINY).rsqrt_()
        normal = _cross(direction, reference)
        sine = _dot(normal, normal).sqrt_()
        cosine = _dot(direction, reference)
        ctx.save_for_backward(direction, reference, cosine, inverse_length / sine.clamp(min=SMALLEST_SINE))
        return torch.atan2(sine, cosine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        direction, reference, cosine, factor = ctx.saved_tensors
        return (direction * cosine).sub_(reference).mul_(factor * gradient), None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar product of [3, ...]."""
    return torch.addcmul(torch.addcmul(a[0] * b[0], a[1], b[1]), a[2], b[2])


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of [3, ...]; several times faster on the CPU than torch's over the first dimension."""
    (ax, ay, az), (bx, by, bz) = a.unbind(0), b.unbind(0)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def triangles_inside(mask: Tensor) -> Iterator[Tensor]:
    """[P - W - 1] bool: which triangles of `triangle_normals` count.

    All three corners are in mask [..., H, W], and the quad lies in one picture.
    """
    width = mask.shape[-1]
    complete = F.pad(torch.ones_like(mask[..., 1:, 1:]), (0, 1, 0, 1))
    a, b, c, d = (mask.flatten()[start:] for start in (0, 1, width, width + 1))
    quads = len(d)
    a, b, c, complete = a[:quads], b[:quads], c[:quads], complete.flatten()[:quads]
    yield from (corners & complete for corners in (a & b & c, a & c & d, a & b & d, b & c & d))


def _smooth_l1(angle: Tensor) -> Tensor:
    return torch.where(angle < LINEAR_FROM, angle.square() / (2 * LINEAR_FROM), angle - LINEAR_FROM / 2)
