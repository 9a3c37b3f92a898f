"""Chunked fitting and reading against the plain mathematics: numbers, gradients, memory, compilation."""

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.utils import counters
from torch.utils.checkpoint import checkpoint

from zipmap_pl.models.config import ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.layers import token_chunks
from zipmap_pl.models.layers.rope import grid_positions, rotation_at
from zipmap_pl.models.mixers import fast_weight_operators, fast_weights
from zipmap_pl.models.mixers.blocks import SceneBlock
from zipmap_pl.models.mixers.fast_weights import FastWeights
from zipmap_pl.models.mixers.scene_mixer import TokenGrid

SEQUENCES, WIDTH, HIDDEN = 2, 6, 10


@pytest.fixture
def three_tokens_at_once(monkeypatch):
    """So few that a handful of tokens is several chunks, the last one shorter."""
    monkeypatch.setattr(token_chunks, "TOKENS_AT_ONCE", 3 * SEQUENCES)


def problem(tokens=7, width=WIDTH, hidden=HIDDEN, dtype=torch.float64):
    """Weights, keys, values and learning rates."""
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return torch.randn(SEQUENCES, *shape, dtype=torch.float64, generator=generator).to(dtype)

    weights = FastWeights(draw(width, hidden), draw(hidden, width), draw(width, hidden))
    rates = FastWeights(*(draw(tokens, 1).exp() for _ in range(3)))
    return weights, draw(tokens, width), draw(tokens, width), rates


def plain_directions(weights, k, v, rates):
    return fast_weights.descent_directions(weights, fast_weights.unit_features(k), F.silu(v), rates)


def plain_apply(weights, q):
    return fast_weights.apply(weights, fast_weights.unit_features(q))


def with_gradients(function, *inputs):
    """The outputs, and the gradients of a fixed mixture of them."""
    flat = [
        x.detach().clone().requires_grad_()
        for part in inputs
        for x in (part if isinstance(part, FastWeights) else [part])
    ]
    rest = iter(flat)
    outputs = function(
        *(FastWeights(*(next(rest) for _ in part)) if isinstance(part, FastWeights) else next(rest) for part in inputs)
    )
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    mixture = sum((o * torch.linspace(-1, 2, o.numel(), dtype=o.dtype).view(o.shape)).sum() for o in outputs)
    return [*outputs, *torch.autograd.grad(mixture, flat)]


@pytest.mark.parametrize("tokens", [1, 3, 7])
def test_directions_equal_the_plain_ones_with_their_gradients(three_tokens_at_once, tokens):
    weights, k, v, rates = problem(tokens)
    found = with_gradients(fast_weight_operators.descent_directions, weights, k, v, rates)
    expected = with_gradients(plain_directions, weights, k, v, rates)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tokens", [1, 3, 7])
def test_read_outs_equal_the_plain_ones_with_their_gradients(three_tokens_at_once, tokens):
    weights, q, _, _ = problem(tokens)
    found = with_gradients(fast_weight_operators.apply, weights, q)
    for one, other in zip(found, with_gradients(plain_apply, weights, q), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_finite_differences(three_tokens_at_once):
    weights, k, v, rates = problem(tokens=4, width=3, hidden=4)
    flat = [x.requires_grad_() for x in (*weights, k, v, *rates)]

    def directions(*x):
        return fast_weight_operators.descent_directions(FastWeights(*x[:3]), x[3], x[4], FastWeights(*x[5:]))

    assert torch.autograd.gradcheck(directions, flat)
    assert torch.autograd.gradcheck(lambda *x: fast_weight_operators.apply(FastWeights(*x[:3]), x[3]), flat[:4])


def test_the_operators_are_registered_as_the_compiler_needs_them(three_tokens_at_once):
    weights, k, v, rates = problem(dtype=torch.float32)
    weights, rates = ([x.requires_grad_() for x in part] for part in (weights, rates))
    k, v = k.requires_grad_(), v.requires_grad_()
    torch.library.opcheck(fast_weight_operators._descent, (weights, k, v, rates, None, False))
    torch.library.opcheck(fast_weight_operators._descent, (weights, k, v, rates, torch.bfloat16, True))
    torch.library.opcheck(fast_weight_operators._apply, (weights, k, None, True))


def test_under_autocast_products_are_in_half_precision_and_sums_in_full(three_tokens_at_once):
    weights, k, v, rates = problem(tokens=64, dtype=torch.float32)
    exact = with_gradients(fast_weight_operators.descent_directions, weights, k, v, rates)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = with_gradients(fast_weight_operators.descent_directions, weights, k, v, rates)
        read_out = fast_weight_operators.apply(weights, k.bfloat16())
    for one, other in zip(rounded, exact, strict=True):
        assert one.dtype == torch.float32
        assert 1e-4 < (one - other).norm() / other.norm() < 2e-2
    assert read_out.dtype == torch.bfloat16


def kept_for_backward(function):
    """Bytes that autograd keeps for the backward pass of function(), every storage once."""
    kept = {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = (x.untyped_storage().nbytes(), x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(size for size, _ in kept.values())


def test_nothing_but_the_inputs_is_kept_for_the_backward_pass():
    weights, k, v, rates = problem(tokens=50, dtype=torch.float32)
    inputs = [x.requires_grad_() for x in (*weights, k, v, *rates)]
    kept = kept_for_backward(lambda: fast_weight_operators.descent_directions(weights, k, v, rates))
    assert kept == sum(x.nbytes for x in inputs)
    assert kept_for_backward(lambda: fast_weight_operators.apply(weights, k)) == sum(x.nbytes for x in (*weights, k))


def scene_block():
    config = ModelConfig(
        embed_dim=24,
        heads=3,
        layer_scale=1.0,
        tokenizer=TokenizerConfig(heads=3),
        ttt=TTTConfig(head_dim=8, newton_schulz_dtype="float32"),
    )
    torch.manual_seed(0)
    return SceneBlock(config)


def block_inputs(length):
    x = torch.randn(2, length, 24, generator=torch.Generator().manual_seed(length), requires_grad=True)
    rotation = rotation_at(grid_positions(1, 1, 0), 8, torch.float32)
    return x, TokenGrid(1, 1, length, 0, rotation)


def test_a_compiled_block_is_one_graph_for_any_number_of_tokens(monkeypatch):
    monkeypatch.setattr(token_chunks, "TOKENS_AT_ONCE", 16)
    block = scene_block()
    torch._dynamo.reset()
    counters["stats"].clear()
    compiled = torch.compile(block, backend="aot_eager", dynamic=True, fullgraph=True)
    for length in range(5, 65, 6):
        x, grid = block_inputs(length)
        found = torch.autograd.grad(compiled(x, grid)[0].square().sum(), x)
        expected = torch.autograd.grad(block(x, grid)[0].square().sum(), x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1


def test_a_checkpointed_block_has_the_same_gradients(three_tokens_at_once):
    block = scene_block()
    x, grid = block_inputs(11)
    (expected,) = torch.autograd.grad(block(x, grid)[0].square().sum(), x)
    (found,) = torch.autograd.grad(checkpoint(block, x, grid, use_reentrant=False)[0].square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def peak_bytes(function):
    """The most that tensors took at once during function()."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as recorded:
        function()
    live = peak = 0
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def test_memory_beyond_inputs_and_gradients_does_not_grow_with_the_tokens(monkeypatch):
    monkeypatch.setattr(token_chunks, "TOKENS_AT_ONCE", 64)
    beyond = []
    for tokens in (256, 2048):
        weights, k, v, rates = problem(tokens, dtype=torch.float32)
        inputs = [x.requires_grad_() for x in (*weights, k, v, *rates)]

        def run(inputs=inputs):
            directions = fast_weight_operators.descent_directions(
                FastWeights(*inputs[:3]), *inputs[3:5], FastWeights(*inputs[5:])
            )
            return torch.autograd.grad(sum(d.sum() for d in directions), inputs)

        run()
        beyond.append(peak_bytes(run) - sum(x.nbytes for x in inputs))
    assert abs(beyond[1] - beyond[0]) < 2000
