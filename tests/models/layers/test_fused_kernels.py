"""What is between the products of the fast weights, compiled as for a GPU (here for the CPU), and where that is not possible."""

import logging
from shutil import which

import pytest
import torch

from zipmap_pl.models.layers import fused_kernels, token_chunks
from zipmap_pl.models.layers.fused_kernels import Fused
from zipmap_pl.models.mixers import fast_weight_operators
from zipmap_pl.models.mixers.fast_weights import FastWeights

needs_a_compiler = pytest.mark.skipif(which("g++") is None, reason="inductor needs a C++ compiler")


@pytest.fixture
def always_compiled(monkeypatch):
    """As on a GPU."""
    torch._dynamo.reset()
    monkeypatch.setattr(Fused, "__call__", lambda self, *inputs, fuse: self.compiled(*inputs))


def directions_and_read_outs(dtype, tokens=11):
    """Both operators and their gradients, on chunks of four tokens and a rest of three."""
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return torch.randn(2, *shape, generator=generator)

    weights = [draw(6, 10), draw(10, 6), draw(6, 10)]
    rates = [draw(tokens, 1).exp() for _ in range(3)]
    inputs = [x.requires_grad_() for x in (*weights, *rates, *(draw(tokens, 6).to(dtype) for _ in range(3)))]
    fitted, rated, (k, v, q) = FastWeights(*inputs[:3]), FastWeights(*inputs[3:6]), inputs[6:]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = [
            *fast_weight_operators.descent_directions(fitted, k, v, rated),
            fast_weight_operators.apply(fitted, q),
        ]
    loss = sum((x.float() * torch.linspace(-1, 2, x.numel()).view(x.shape)).sum() for x in outputs)
    return [*outputs, *torch.autograd.grad(loss, inputs)]


@needs_a_compiler
@pytest.mark.parametrize(
    ("dtype", "rounding"), [pytest.param(torch.float32, 1e-5, marks=pytest.mark.long), (torch.bfloat16, 2e-2)]
)
def test_compiled_steps_give_the_same_numbers_and_gradients(always_compiled, monkeypatch, dtype, rounding):
    monkeypatch.setattr(token_chunks, "TOKENS_AT_ONCE", 8)
    compiled = directions_and_read_outs(dtype)
    monkeypatch.setattr(Fused, "__call__", lambda self, *inputs, fuse: self.steps(*inputs))
    plain = directions_and_read_outs(dtype)
    for one, other in zip(compiled, plain, strict=True):
        assert one.dtype == other.dtype
        assert (one.float() - other.float()).norm() <= rounding * other.float().norm()


def test_without_a_working_compiler_a_warning_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(fused_kernels, "find_spec", lambda _: object())
    double = Fused(torch.mul)
    calls = []

    def no_compiler(*inputs):
        calls.append(inputs)
        raise RuntimeError("Failed to find C compiler.\nPlease set CC.\nmore")

    double.compiled = no_compiler
    with caplog.at_level(logging.WARNING):
        assert [double(torch.tensor(3), 2, fuse=True).item() for _ in range(2)] == [6, 6]
    assert len(calls) == 1
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("a GPU is slower: Failed to find C compiler. Please set CC.")


def test_a_device_that_is_full_is_told(monkeypatch):
    monkeypatch.setattr(fused_kernels, "find_spec", lambda _: object())
    full = Fused(torch.mul)

    def out_of_memory(*inputs):
        raise torch.OutOfMemoryError

    full.compiled = out_of_memory
    with pytest.raises(torch.OutOfMemoryError):
        full(torch.tensor(3), 2, fuse=True)


def test_one_call_without_gradients_does_not_wait_for_the_compiler():
    asked = [fused_kernels.worth_compiling()]
    with torch.no_grad():
        asked.append(fused_kernels.worth_compiling())
    assert asked == [True, False]
