"""The backbone's MLP against plain autograd: numbers, gradients, what it keeps, what the compiler needs."""

import pytest
import torch
import torch.nn.functional as F

from zipmap_pl.models.layers import mlp, token_chunks
from zipmap_pl.models.layers.mlp import Mlp

DIM, HIDDEN = 6, 24


@pytest.fixture(autouse=True)
def three_tokens_at_once(monkeypatch):
    """So few that a handful of tokens is several chunks, the last one shorter."""
    monkeypatch.setattr(token_chunks, "TOKENS_AT_ONCE", 3)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Mlp(DIM, HIDDEN)


def plain(layer, x):
    return layer.fc2(F.gelu(layer.fc1(x)))


def tokens(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, DIM, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()


@pytest.mark.parametrize("shape", [(1,), (2, 1), (2, 5), (3, 2, 4)])
def test_outputs_and_gradients_are_the_plain_ones(layer, shape):
    layer, x = layer.double(), tokens(*shape)
    results = []
    for way in (layer, lambda x: plain(layer, x)):
        out = way(x)
        mixture = (out * torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)).sum()
        results.append([out, *torch.autograd.grad(mixture, [x, *layer.parameters()])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_without_gradients_the_numbers_are_the_same(layer):
    x = tokens(7, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), layer(x.clone()), rtol=0, atol=0)
        without = layer(x)
    torch.testing.assert_close(layer(x), without, rtol=0, atol=0)


def test_gradients_are_those_of_finite_differences(layer):
    layer = layer.double()
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (tokens(4), *layer.parameters()))


def test_under_autocast_it_rounds_as_two_linear_layers_do(layer):
    x = tokens(2, 9, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours, other = layer(x), plain(layer, x)
    assert ours.dtype == other.dtype == torch.bfloat16
    torch.testing.assert_close(ours, other)
    for one, two in zip(
        *(torch.autograd.grad(y.float().sum(), [x, *layer.parameters()]) for y in (ours, other)), strict=True
    ):
        assert one.dtype == two.dtype == torch.float32
        assert (one - two).norm() <= 1e-2 * two.norm()


def test_one_wide_tensor_is_kept_for_the_backward_pass(layer):
    x, kept = tokens(50, dtype=torch.float32), {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    weights = layer.fc1.weight.nbytes + layer.fc2.weight.nbytes
    assert sum(kept.values()) == weights + x.nbytes + HIDDEN // DIM * x.nbytes


def test_the_operator_is_registered_as_the_compiler_needs_it(layer):
    weights = [layer.fc1.weight, layer.fc1.bias, layer.fc2.weight, layer.fc2.bias]
    for keep in (True, False):
        x = tokens(1, 7, dtype=torch.float32).detach().requires_grad_(keep)
        inputs = (x, *(w.detach().requires_grad_(keep) for w in weights), keep)
        torch.library.opcheck(mlp._mlp, inputs)
