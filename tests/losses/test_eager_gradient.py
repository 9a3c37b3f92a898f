"""Losses that make their gradient with their value say what autograd says, and wait for no GPU."""

import pytest
import torch

from zipmap_pl.losses import quantile
from zipmap_pl.losses.eager_gradient import loss_of_items
from zipmap_pl.losses.normals import depth_edges


def squared(items, others):
    return ((items - others) ** 2 * items.exp()).sum((1, 2))


@pytest.mark.parametrize("at_once", [1, 2, 5, 9])
def test_values_and_gradients_are_those_of_autograd(at_once):
    ours, theirs = (torch.linspace(-1, 1, 30).view(5, 2, 3).requires_grad_() for _ in range(2))
    others, weights = torch.arange(30.0).view(5, 2, 3) / 30, torch.tensor([1.0, 0.0, -2.0, 3.0, 0.5])
    found, expected = loss_of_items(squared, ours, others, at_once=at_once), squared(theirs, others)
    torch.testing.assert_close(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_without_a_gradient_only_the_value_is_made():
    items = torch.ones(3, 2, 2)
    assert not loss_of_items(squared, items, items, at_once=2).requires_grad
    with torch.no_grad():
        assert not loss_of_items(squared, items.requires_grad_(), items, at_once=2).requires_grad


def test_sorting_and_selecting_find_the_same():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for rank in map(torch.tensor, (0, 1, 500, 999)):
        assert quantile.smallest(values, rank) == quantile._by_sorting(values, rank)


def test_edges_are_those_of_pooling():
    depth = 1 + 0.05 * torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    high = torch.nn.functional.max_pool2d(depth, 3, stride=1, padding=1)
    low = -torch.nn.functional.max_pool2d(-depth, 3, stride=1, padding=1)
    expected = (high - low) / depth > 0.03
    assert depth_edges(depth).equal(expected)
    assert expected.any() and not expected.all()
    assert not depth_edges(torch.ones(1, 1, 1, 1)).any()


def test_edges_among_valid_pixels_only_leave_pixels_next_to_a_hole():
    depth, valid = torch.ones(5, 5), torch.ones(5, 5, dtype=torch.bool)
    valid[2, 2] = False
    depth[2, 2] = 0.0
    depth[:, 4] = 2.0
    step = torch.zeros(5, 5, dtype=torch.bool)
    step[:, 3:] = True
    around = step.clone()
    around[1:4, 1:4] = True
    around[2, 2] = False  # invalid anyway: anything over 0
    assert (depth_edges(depth) & valid).equal(around)
    assert (depth_edges(depth, valid) & valid).equal(step & valid)
