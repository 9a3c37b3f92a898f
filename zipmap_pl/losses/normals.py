"""Normal loss: the angle between predicted and true normals of the small triangles of neighbouring pixels."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from zipmap_pl.losses.eager_gradient import loss_of_items
from zipmap_pl.losses.safety import finite

EDGE_THRESHOLD = 0.03
SMALLEST_ANGLE = math.radians(1)
LARGEST_ANGLE = math.radians(90)
LINEAR_FROM = math.radians(3)
SMALLEST_SINE = 1e-6
PIXELS_AT_ONCE = 2**20  # of all views taken together
TINY = 1e-24  # the length of a normal is at least 1e-12


def normal_loss(prediction: Tensor, truth: Tensor, mask: Tensor, *, edges_at_holes: bool = True) -> Tensor:
    """Smooth L1 of the angle, summed over each 2 x 2 quad's four triangles; mean over all quads, / (4 max(H, W)).

    prediction (aligned), truth: points [B, S, H, W, 3] of the scenes with trustworthy depth; mask: [B, S, H, W].
    Triangles that touch an invalid pixel or a depth edge count as 0; with `edges_at_holes`, as published, the pixels next to
    an invalid one are edges, whatever their depth. Angles are clamped to [1, 90] degrees, outside
    there is no gradient.
    """
    height, width = mask.shape[-2:]
    views = (maps.flatten(0, 1) for maps in (prediction, truth, mask))
    total = loss_of_items(
        partial(sum_over_triangles, edges_at_holes=edges_at_holes),
        *views,
        at_once=max(1, PIXELS_AT_ONCE // (height * width)),
    ).sum()
    quads = mask[..., 1:, 1:].numel()
    return finite(total / (max(quads, 1) * 4 * max(height, width)))


def sum_over_triangles(prediction: Tensor, truth: Tensor, mask: Tensor, *, edges_at_holes: bool = True) -> Tensor:
    """Sums [N] of the smooth L1 of the angle over all triangles of N views: points [N, H, W, 3], mask [N, H, W]."""
    width = mask.shape[-1]
    mask = mask & ~depth_edges(truth[..., 2], None if edges_at_holes else mask)
    normals = triangle_normals(_flat_components(prediction, mask), width)
    true_normals = triangle_normals(_flat_components(truth, mask), width)
    zero = prediction.new_zeros(())
    total = zero
    for normal, true_normal, inside in zip(normals, true_normals, triangles_inside(mask), strict=True):
        angle = angle_between(normal, true_normal).clamp(SMALLEST_ANGLE, LARGEST_ANGLE).masked_fill(~inside, 0.0)
        total = total + F.smooth_l1_loss(angle, zero.expand_as(angle), reduction="none", beta=LINEAR_FROM)
    return F.pad(total, (0, width + 1)).unflatten(0, mask.shape).sum((1, 2))


def depth_edges(depth: Tensor, valid: Tensor | None = None) -> Tensor:
    """[..., H, W] bool: depth in the 3 x 3 neighbourhood spans over 3 % of the pixel's own. 0 / 0 is no edge.

    valid: [..., H, W] bool, the pixels of the neighbourhood that count; None = all, invalid ones with a depth of 0.
    """
    depth = depth.contiguous()
    low, high = (depth, depth) if valid is None else (depth.where(valid, torch.inf), depth.where(valid, -torch.inf))
    farthest = _of_neighbourhood(torch.maximum, high)
    nearest = _of_neighbourhood(torch.minimum, low)
    return (farthest - nearest) / depth > EDGE_THRESHOLD


def _of_neighbourhood(extreme: Callable[..., Tensor], values: Tensor) -> Tensor:
    """The extreme of each pixel's 3 x 3 neighbourhood in [..., H, W]; ten times faster on the CPU than max_pool2d."""
    for dim in (-1, -2):
        before, found = values, values.clone()
        size = values.shape[dim] - 1
        for one, other in ((0, 1), (1, 0)):
            here = found.narrow(dim, one, size)
            extreme(here, before.narrow(dim, other, size), out=here)
        values = found
    return values


def _flat_components(points: Tensor, mask: Tensor) -> Tensor:
    """[3, P]: the coordinates of all P pixels of points [B, S, H, W, 3] in reading order, 0 outside mask.

    In this layout the neighbours to the right and below of a run of pixels are runs too, which is what makes this
    loss fast.
    """
    return points.flatten(0, -2).T.contiguous().masked_fill(~mask.flatten(), 0.0)


def triangle_normals(points: Tensor, width: int) -> tuple[Tensor, ...]:
    """Normals (not unit) [3, P - W - 1] of the four corner triangles of the quad that begins at each pixel.

    points: [3, P]. Every triangle is spanned by one vertical and one horizontal side of the quad: left top, left
    bottom, right top, right bottom. Quads that begin in the last row or column of a picture are meaningless (see
    `triangles_inside`). Differentiable once.
    """
    return _TriangleNormals.apply(points, width)


class _TriangleNormals(torch.autograd.Function):
    """The sides of the quads are parts of two long maps of differences; so are their gradients, added up in place."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, width: int) -> tuple[Tensor, ...]:
        across, down = points[:, 1:] - points[:, :-1], points[:, width:] - points[:, :-width]
        ctx.save_for_backward(across, down)
        ctx.width = width
        return tuple(_cross(d, a) for d in _sides(down, 1) for a in _sides(across, width))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        across, down = ctx.saved_tensors
        d_across, d_down = torch.zeros_like(across), torch.zeros_like(down)
        corners = iter(gradients)
        for d, d_d in zip(_sides(down, 1), _sides(d_down, 1), strict=True):
            for a, d_a in zip(_sides(across, ctx.width), _sides(d_across, ctx.width), strict=True):
                gradient = next(corners)
                _add_cross(d_d, a, gradient)
                _add_cross(d_a, gradient, d)
        d_points = F.pad(d_across, (1, 0))
        d_points[:, :-1] -= d_across
        d_points[:, ctx.width :] += d_down
        d_points[:, : -ctx.width] -= d_down
        return d_points, None


def _sides(differences: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Two opposite sides of all quads out of the differences between neighbours: the first, and the one `step` further."""
    quads = differences.shape[-1] - step
    return differences[:, :quads], differences[:, step:]


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
    """Cross product of [3, ...], without a graph."""
    out = torch.zeros_like(a)
    _add_cross(out, a, b)
    return out


def _add_cross(out: Tensor, a: Tensor, b: Tensor) -> None:
    """Adds the cross product of [3, ...] in place; several times faster on the CPU than torch's over the first dimension."""
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[i].addcmul_(a[j], b[k]).addcmul_(a[k], b[j], value=-1)


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
